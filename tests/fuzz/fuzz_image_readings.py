"""What runs in the forks for radiology: one mutant through ``domainclip``, and through pydicom's own pipeline.

Both fill a plate with stored numbers and display values (colour: as they are handed out, 0..1).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import mmap
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from fuzz_image_lies import inflated
from fuzz_images import PLANTED, READINGS
from fuzz_seeds import seed_bytes

sys.path.append(str(Path(__file__).parents[1] / "domains" / "radiology"))

ROOM = 2**18
_LOSSLESS = "1.2.840.10008.1.2.4.70"
_FRAME = re.compile(rb"\xff[\xc0-\xc3]..(.)(..)(..)(.)", re.DOTALL)
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{4}(.{4})(.{4})(.{4})(.{4}).{16}(..)(.)", re.DOTALL)


class Plate:
    """Memory that parent and fork share: the first ``ROOM`` stored numbers, display values and marks of no data."""

    def __init__(self) -> None:
        everything = np.frombuffer(mmap.mmap(-1, ROOM * 24), np.float64)
        self.stored, self.shown, self.missing = (everything[n * ROOM : (n + 1) * ROOM] for n in range(3))

    def clear(self) -> None:
        """Forgets the last file."""
        for part in (self.stored, self.shown, self.missing):
            part[:] = 0

    def put(self, part: npt.NDArray[np.float64], array: npt.NDArray[Any]) -> dict[str, Any]:
        """Keeps the first values; returns the shape, the type, and a digest of all of them."""
        flat = np.ascontiguousarray(array).ravel()
        part[: min(flat.size, ROOM)] = flat[:ROOM]
        plain = flat.astype(flat.dtype.newbyteorder("<"))
        return {"shape": list(array.shape), "dtype": plain.dtype.name, "sha256": hashlib.sha256(plain.tobytes()).hexdigest()}


def read_image(kind: str, path: Path, plate: Plate) -> dict[str, Any]:
    """Does what ``inspect`` and ``prepare`` do with the file.

    Returns:
        ``recognised``, ``refusals`` ({step: [asked, found, remedy]}), ``stored`` and ``shown`` (see ``Plate.put``; missing where it
        is refused), ``leaks`` (planted words in what ``inspect`` says or a sample carries as facts). Only UnreadableFileError is
        caught; all else ends the fork as "escaped".
    """
    from domainclip.domains.base import domains
    from domainclip.domains.radiology.dicom import check_readable, decode_frame, read_dataset
    from domainclip.errors import UnreadableFileError
    from domainclip.sample import SourceItem

    domain = domains.get("radiology")
    reading: Any = domain.reading_model(**READINGS[kind])
    result: dict[str, Any] = {"recognised": domain.recognises(path), "refusals": {}, "leaks": []}
    said = ""
    try:
        said += repr(domain.inspect(path))
    except UnreadableFileError as error:
        result["refusals"]["inspect"] = [error.asked, error.found, error.remedy]
    try:
        (sample,) = domain.samples(SourceItem(path, "mutant"), reading)
        said += repr((sample.meta, sample.key, sample.sensor, sample.spacing, sample.values, sample.labels))
        pixels = sample.read()
    except UnreadableFileError as error:
        result["refusals"]["read"] = [error.asked, error.found, error.remedy]
    else:
        assert pixels.array.shape[0] == len(sample.channels), f"{pixels.array.shape} for {sample.channels}"
        assert sample.values.kind == "srgb" or (pixels.array.min() >= 0 and pixels.array.max() <= 1), "display beyond 0..1"
        result["shown"] = plate.put(plate.shown, np.moveaxis(pixels.array * sample.values.scale, 0, -1))
        plate.put(plate.missing, pixels.masks.get("nodata", np.zeros(pixels.array.shape[1:], bool)))
        dataset = read_dataset(path, reading, pixels=True)
        check_readable(dataset, reading)
        result["stored"] = plate.put(plate.stored, decode_frame(dataset, reading.frame or 0))
    result["leaks"] = [word for word in PLANTED if word.casefold() in said.casefold()]
    return result


def read_pydicom(kind: str, path: Path, plate: Plate) -> dict[str, Any]:
    """Decodes the same frame by pydicom.

    Returns:
        ``facts`` (of the header, {} where it cannot be read), ``stored`` and ``shown`` (where they can be made), ``filled``
        (libjpeg made pixels up), ``error``.
    """
    import warnings

    result: dict[str, Any] = {"facts": {}, "error": ""}
    warnings.simplefilter("ignore")
    frame = int(READINGS[kind].get("frame", 0))
    try:
        dataset = pydicom.dcmread(path)
        result["facts"] = _facts(kind, path, dataset, frame)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            stored = _stored(dataset, frame)
        result["facts"]["excess"] = any("non-conformant padding" in str(one.message) for one in warned)
        result["stored"] = plate.put(plate.stored, stored)
        result["filled"] = _filled(dataset, frame)
        result["shown"] = plate.put(plate.shown, _display(dataset, stored, frame))
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def _stored(dataset: Any, frame: int) -> npt.NDArray[Any]:
    """pydicom's pixel array, in which HighBit is heeded, and which decodes lossless JPEG by liblj92."""
    from pydicom.pixels import pixel_array
    from pydicom.pixels.decoders.base import Decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    lift = dataset.HighBit + 1 - dataset.BitsStored if not syntax.is_encapsulated and "HighBit" in dataset else 0
    if 0 < lift <= dataset.BitsAllocated - dataset.BitsStored:
        stored, dataset.BitsStored = dataset.BitsStored, dataset.BitsAllocated  # all bits of a word; then as PS3.5 8.1.1 has it
        words = pixel_array(dataset, index=frame)
        dataset.BitsStored = stored
        return (words << (dataset.BitsAllocated - 1 - dataset.HighBit)) >> (dataset.BitsAllocated - stored)
    if str(syntax) != _LOSSLESS:
        return pixel_array(dataset, index=frame)
    decoder = Decoder(syntax)
    decoder.add_plugin("liblj92", ("fuzz_lossless", "decode"))
    return decoder.as_array(dataset, index=frame)[0]


def _filled(dataset: Any, frame: int) -> bool:
    """Whether libjpeg warns, or two decoders of lossless JPEG differ: they make up what they lack."""
    import imagecodecs
    import simplejpeg

    syntax = str(dataset.file_meta.TransferSyntaxUID)
    try:
        if syntax == "1.2.840.10008.1.2.4.50":
            simplejpeg.decode_jpeg(_codestream(dataset, frame), "GRAY")
        elif syntax == _LOSSLESS:
            one, other = (decode(_codestream(dataset, frame)) for decode in (imagecodecs.ljpeg_decode, imagecodecs.jpegsof3_decode))
            return not np.array_equal(one, other)
    except (ValueError, RuntimeError):
        return True
    return False


def _display(dataset: Any, stored: npt.NDArray[Any], frame: int) -> npt.NDArray[np.float64]:
    from pydicom.pixels import apply_color_lut
    from pydicom_oracle import pydicom_display

    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        return stored / (2.0**dataset.BitsStored - 1)
    shown = pydicom_display(dataset, stored, frame)
    assert np.isfinite(shown).all(), "no numbers"
    return shown[..., None]


def _codestream(dataset: Any, frame: int) -> bytes:
    from pydicom.encaps import get_frame

    return get_frame(dataset.PixelData, frame, number_of_frames=int(dataset.get("NumberOfFrames") or 1))


_FACTS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "NumberOfFrames", "PhotometricInterpretation",
    "BurnedInAnnotation", "Modality", "ImageType", "SOPClassUID", "ConversionType", "PresentationLUTShape", "VOILUTFunction",
    "WindowCenter", "WindowWidth", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip


_PLAIN = (
    *_FACTS, "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "StudyID", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "ICCProfile", "PixelPresentation",
)  # fmt: skip
"""Elements without which a refusal is right."""


def _facts(kind: str, path: Path, dataset: Any, frame: int) -> dict[str, Any]:
    """What the rules ask of a header, as pydicom reads it; elements that it cannot read are left out."""
    found: dict[str, Any] = {"syntax": str(dataset.file_meta.get("TransferSyntaxUID")), "bytes": path.stat().st_size}
    if found["syntax"] == "1.2.840.10008.1.2.1.99":
        found["bytes"] = len(inflated(path.read_bytes()))
    for name in _FACTS:
        try:
            value = dataset.get(name)
        except Exception:
            found[name] = "damaged"
            continue
        found[name] = value if value is None or isinstance(value, int) else str(value)
    found["damaged"] = []
    for element in _PLAIN:
        try:
            dataset.get(element)
        except Exception:
            found["damaged"].append(element)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    found["groups"] = None if groups is None else len(groups)
    found["tables"] = [_table(item) for name in ("ModalityLUTSequence", "VOILUTSequence") for item in dataset.get(name) or ()]
    found["presentation table"] = bool(dataset.get("PresentationLUTSequence"))
    try:
        stream = _codestream(dataset, frame)
    except Exception:
        return found
    if kind not in {"ct", "deflated"}:
        found["altered"] = stream != _codestream(pydicom.dcmread(io.BytesIO(seed_bytes(kind)[0])), frame)
    if found["syntax"] == "1.2.840.10008.1.2.5":
        count, *offsets = (int(v) for v in np.frombuffer(stream[:64].ljust(64, b"\0"), "<u4"))
        ends = [64, *offsets[: min(count, 15)], len(stream)]
        found["disorder"] = count != _segments(dataset) or any(end < begin for begin, end in itertools.pairwise(ends))
        return found
    if match := _FRAME.search(stream):
        bits, rows, columns, components = (int.from_bytes(part, "big") for part in match.groups())
        found["codestream"] = [rows, columns, components, bits]
    elif match := _SIZ.search(stream):
        wide, high, left, top, components, bits = (int.from_bytes(part, "big") for part in match.groups())
        found["codestream"] = [high - top, wide - left, components, (bits & 0x7F) + 1]
    return found


def _segments(dataset: Any) -> int:
    return int(dataset.get("SamplesPerPixel") or 1) * int(dataset.BitsAllocated) // 8


def _table(item: Any) -> list[int]:
    """Entries, bits and bytes (or numbers) of a lookup table; [] where it cannot be read."""
    try:
        entries, _, bits = (int(v) for v in item.LUTDescriptor)
        data = item.LUTData
        return [
            entries,
            bits,
            len(data),
            int(isinstance(data, bytes)),
            int(np.max(np.frombuffer(data, "<u2") if isinstance(data, bytes) else data)),
        ]
    except Exception:
        return []
