"""One array of Zarr version 2: what its ``.zarray`` says, checked before anything is decoded, and its chunks within that.

After the storage specification (zarr-specs.readthedocs.io, version 2). The decoders are the standard library's, zstandard's and
imagecodecs', which the package has anyway; the list is closed, since numcodecs' registry, which stores refer to, holds pickle.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError

MAX_CHUNK_BYTES = 2**29
"""Decoded; the largest file of SSL4EO-S12 holds 446 MB in all, so any way of cutting it into chunks fits."""
_MAX_AXES = 8
_MAX_CHUNKS = 2**20
_DTYPE = re.compile(r"[<>|](?:[biuf][1248]|[US][1-9][0-9]{0,3})")
_BLOSC_HEADER = struct.Struct("<4B3I")
_BLOSC_COPIED = 2
_REWRITE = "Write the store anew, with blosc, gzip, zlib, zstd or no compressor."


def unreadable(found: str, remedy: str = "Get the file anew.") -> UnreadableFileError:
    """Builds the error for a store that cannot be used."""
    return UnreadableFileError("A Zarr store was to be read.", found, remedy)


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """What an array is.

    Attributes:
        name: Within its group.
        shape: Of the whole.
        chunks: Of one chunk, as many axes; those at the far edges are stored whole, too.
        dtype: Numbers, or text of fixed length; never Python objects.
        compressor: Its configuration, of ``_DECODERS``; None where chunks are stored as they are.
        fill: What stands where a chunk is not stored; None where nobody says.
        order: ``C`` or ``F``, of the numbers within a chunk.
        separator: Between the places of a chunk in its key.
    """

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: Mapping[str, Any] | None
    fill: Any
    order: Literal["C", "F"]
    separator: Literal[".", "/"]

    @property
    def chunk_bytes(self) -> int:
        """Returns how many bytes a chunk has once decoded."""
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Returns how many chunks there are along each axis."""
        return tuple(-(-size // step) for size, step in zip(self.shape, self.chunks, strict=True))

    def places(self, first: int = 0) -> Iterator[tuple[int, ...]]:
        """Yields the places of the chunks along the axes from ``first`` on."""
        return product(*(range(count) for count in self.grid[first:]))

    def key(self, place: tuple[int, ...]) -> str:
        """Returns the name of the member that holds a chunk."""
        return f"{self.name}/{self.separator.join(map(str, place))}"

    def decoded(self, data: bytes) -> npt.NDArray[Any]:
        """Returns a chunk, (chunks), read-only.

        Raises:
            UnreadableFileError: It is damaged, or holds more or fewer bytes than its shape says.
        """
        plain: bytes | bytearray = data
        try:
            if self.compressor is not None:
                plain = _DECODERS[self.compressor["id"]](data, self.chunk_bytes)
        except FOREIGN_ERRORS as error:
            raise unreadable(f"a chunk of {self.name!r} is damaged ({type(error).__name__})") from error
        if len(plain) != self.chunk_bytes:
            raise unreadable(f"a chunk of {self.name!r} holds other than the {self.chunk_bytes} bytes that its shape says")
        return np.frombuffer(plain, self.dtype).reshape(self.chunks, order=self.order)


def array_of(name: str, content: bytes) -> ZarrArray:
    """Reads a ``.zarray``.

    Args:
        name: Of the array.
        content: The member's bytes.

    Raises:
        UnreadableFileError: It is none of version 2, or asks for what is not decoded: Python objects, filters, another compressor,
            chunks that are too large.
    """
    try:
        told = json.loads(content)
    except ValueError as error:
        raise unreadable(f"what describes {name!r} is no JSON") from error
    if not isinstance(told, dict) or told.get("zarr_format") != 2:
        raise unreadable(f"{name!r} is no array of Zarr version 2", "Get the version of the set that the card names.")
    shape, chunks = _sizes(name, told.get("shape"), 0), _sizes(name, told.get("chunks"), 1)
    dtype = _dtype(name, told.get("dtype"))
    if told.get("filters"):
        raise unreadable(f"{name!r} was filtered ({str(told['filters'])[:60]}); filters are not undone", "Write it without.")
    compressor, order, separator = told.get("compressor"), told.get("order"), told.get("dimension_separator", ".")
    if compressor is not None and (not isinstance(compressor, dict) or compressor.get("id") not in _DECODERS):
        raise unreadable(f"{name!r} is compressed in a way that is not decoded ({str(compressor)[:60]})", _REWRITE)
    if len(shape) != len(chunks) or order not in {"C", "F"} or separator not in {".", "/"}:
        raise unreadable(f"the chunks of {name!r} do not fit its shape, or lie in no known order")
    array = ZarrArray(name, shape, chunks, dtype, compressor, _fill(name, told.get("fill_value"), dtype), order, separator)
    if array.chunk_bytes > MAX_CHUNK_BYTES or math.prod(array.grid) > _MAX_CHUNKS:
        found = f"{name!r} has {math.prod(array.grid)} chunks of {array.chunk_bytes} bytes"
        raise unreadable(f"{found}; at most {_MAX_CHUNKS} of {MAX_CHUNK_BYTES // 2**20} MiB are read", "Write smaller chunks.")
    return array


def _sizes(name: str, value: Any, least: int) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= _MAX_AXES
        or not all(type(size) is int and least <= size < 2**31 for size in value)
    ):
        raise unreadable(f"{name!r} has a shape or chunks that are none ({str(value)[:60]})")
    return tuple(value)


def _dtype(name: str, value: Any) -> np.dtype[Any]:
    if isinstance(value, str) and _DTYPE.fullmatch(value):
        try:
            return np.dtype(value)
        except TypeError as error:
            raise unreadable(f"{name!r} holds {value!r}, which is no kind of number") from error
    found = f"{name!r} holds {str(value)[:40]!r}; numbers and text of fixed length are read, Python objects never"
    raise unreadable(found, "Write the array as numbers, or its text as <U (fixed length).")


def _fill(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """Returns the fill value as a number of the array; of text there is none, since a name that is not stored is no name."""
    if value is None or dtype.kind in "US":
        return None
    try:
        if dtype.kind == "f" and (type(value) in {int, float} or value in {"NaN", "Infinity", "-Infinity"}):
            return dtype.type(value)
        if dtype.kind in "iub" and type(value) in {int, bool}:
            return dtype.type(value)  # raises where it does not fit
    except (OverflowError, ValueError, TypeError):
        pass
    raise unreadable(f"the fill value of {name!r} ({str(value)[:40]}) is no number that it can hold")


def _inflated(wbits: int) -> Callable[[bytes, int], bytes]:
    def decode(data: bytes, size: int) -> bytes:
        inflater = zlib.decompressobj(wbits)
        try:
            plain = inflater.decompress(data, size + 1)
        except zlib.error as error:
            raise ValueError("no deflate stream") from error
        if len(plain) <= size and not inflater.eof:
            raise EOFError
        return plain

    return decode


def _zstd(data: bytes, size: int) -> bytes:
    import zstandard

    try:
        if zstandard.frame_content_size(data) > size:
            raise ValueError("more than the chunk's bytes")
        return bytes(zstandard.ZstdDecompressor().decompress(data, max_output_size=size))
    except zstandard.ZstdError as error:
        raise ValueError("no Zstandard frame") from error


def _blosc(data: bytes, size: int) -> bytearray:
    """Decodes Blosc 1. The library trusts its header's sizes and reads beyond what it was given, so they are compared first."""
    import imagecodecs

    _, _, flags, _, plain, _, packed = _BLOSC_HEADER.unpack_from(data)
    if plain != size or packed != len(data) or (flags & _BLOSC_COPIED and packed != plain + _BLOSC_HEADER.size):
        raise ValueError("sizes in its header are not those of the chunk")
    out = bytearray(size)
    imagecodecs.blosc_decode(data, numthreads=1, out=out)
    return out


_DECODERS: dict[str, Callable[[bytes, int], bytes | bytearray]] = {
    "blosc": _blosc, "gzip": _inflated(16 + zlib.MAX_WBITS), "zlib": _inflated(zlib.MAX_WBITS), "zstd": _zstd,
}  # fmt: skip
