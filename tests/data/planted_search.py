"""Looks for planted identifiers in everything that was written, by its own means: nothing of domainclip is used."""

from __future__ import annotations

import io
import re
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zstandard

_SHAPES = re.compile(
    rb"(?<![0-9a-f])\d{8}(?![0-9a-f])|\d{4}-\d{2}-\d{2}|qz\d{5}xk(?:binary)?|zqname\d{5}x|zqgiven\d{5}x|101112\.[34]\d{5}"
    rb"|9999999\.77\d{5}77|087y|77[1345]\d{4,6}|772\.\d{5}|0\d/05/2019|planted(?:folder|file)"
)


def found_in(data: bytes, planted: Iterable[str]) -> set[str]:
    """Returns which planted words stand in bytes, in any case."""
    known = {word.lower().encode() for word in planted}
    strange = [word for word in known if not _SHAPES.fullmatch(word)]
    assert strange == [], "the search would miss these"
    small = data.lower()
    seen = set(_SHAPES.findall(small)) | set(_SHAPES.findall(small.replace(b"\0", b"")))  # UTF-16, too
    return {word.decode() for word in seen & known}


def leaks(folder: Path, planted: Iterable[str]) -> dict[str, set[str]]:
    """Returns place to planted words, of every file below a folder and of what can be taken out of it."""
    words = list(planted)
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()  # several sets below one folder have files of the same names
        found[f"name {name}"] = found_in(name.encode(), words)
        if path.is_file():
            for place, data in _parts(name, path.read_bytes()):
                found.setdefault(place, set()).update(found_in(data, words))
    return {place: some for place, some in found.items() if some}


def _parts(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, data
    if name.endswith(".tar"):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                yield f"{name}: header", repr((member.get_info(), member.pax_headers)).encode()
                file = tar.extractfile(member)
                assert file is not None
                yield from _parts(f"{name}: {member.name}", file.read())
    elif name.endswith(".parquet"):
        table = pq.ParquetFile(io.BytesIO(data))
        yield f"{name}: footer", str((table.metadata.to_dict(), table.schema_arrow.metadata)).encode()
        yield f"{name}: cells", "\n".join(map(str, table.read().to_pylist())).encode()
    elif name.endswith(".zst"):
        yield f"{name}: plain", zstandard.ZstdDecompressor().decompress(data)
    elif name.endswith(".h5"):
        yield f"{name}: values", "\n".join(_values(data)).encode()
    elif name.endswith(".png"):
        at, pixels = 8, b""
        while at < len(data):
            size, kind = struct.unpack(">L4s", data[at : at + 8])
            body = data[at + 8 : at + 8 + size]
            pixels += body if kind == b"IDAT" else b""
            if kind in {b"zTXt", b"iCCP", b"iTXt"}:
                yield f"{name}: {kind!r}", zlib.decompress(body[body.index(b"\0") + 2 :])
            at += 12 + size
        yield f"{name}: pixels", zlib.decompress(pixels)


def _values(data: bytes) -> Iterator[str]:
    """Yields names, attributes and values of an HDF5 file, which may be compressed in it."""
    import h5py

    with h5py.File(io.BytesIO(data)) as file:
        found: list[tuple[str, Any]] = [("", file)]
        file.visititems(lambda name, one: found.append((name, one)))
        for name, one in found:
            yield from (name, *map(str, one.attrs.items()))
            if isinstance(one, h5py.Dataset) and one.dtype.kind in "OSU":
                yield from map(str, np.asarray(one[()]).ravel())
