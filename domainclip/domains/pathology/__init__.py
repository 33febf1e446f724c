"""Pathology: whole-slide images, tiled and plain TIFF, PNG and JPEG patches; scale in um per pixel, groups are slides."""

from domainclip.domains.pathology.domain import PathologyDomain

DOMAIN = PathologyDomain()
