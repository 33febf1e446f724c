"""Addresses of files that lie elsewhere. Layer 0: imports nothing of the package."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_address(text: str) -> bool:
    """Says whether a text is an address (``https://host/file.tif``, ``s3://bucket/file.tif``) and no path."""
    return _SCHEME.match(text) is not None


def last_part(address: str) -> str:
    """Returns the name of the file at an address, without what follows a question mark."""
    return PurePosixPath(unquote(urlsplit(address).path)).name or "file"


def without_query(address: str) -> str:
    """Returns an address without a password and without what follows a question mark: what may be shown, and does not expire."""
    bare = re.split(r"[?#]", address, maxsplit=1)[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
