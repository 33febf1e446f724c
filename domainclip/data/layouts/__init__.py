"""Published layouts, one file each, into SourceItems."""
