"""Writes DICOM whole-slide series for tests: real files of any layout, with a patient's name planted in every one.

After PS3.3 A.32.8 (VL Whole Slide Microscopy Image IOD); complete enough for OpenSlide 4 and wsidicom.
"""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
PATIENT, SERIAL, BARCODE = "Zeppelin^Quirina", "SN-4711-GEHEIM", "BLOCK-0815-XY"
PLANTED = ("Zeppelin", "Quirina", SERIAL, BARCODE, "19560229")
EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
JPEG, JPEG_LS, J2K_LOSSLESS, J2K, HTJ2K, RLE = (
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5",
)  # fmt: skip
NATIVE = {EXPLICIT, IMPLICIT, DEFLATED}
PHOTOMETRIC = {JPEG: "YBR_FULL_422", J2K: "YBR_ICT", J2K_LOSSLESS: "YBR_RCT", HTJ2K: "YBR_RCT"}


def picture(seed=0, height=500, width=620):
    """Smooth colours, (H, W, 3) uint8, so that lossy codecs do not matter much; no side is a multiple of a frame."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encoded(frame, syntax, photometric):
    """One frame as it lies in the file; (H, W, 3) uint8."""
    if syntax in NATIVE:
        return frame.tobytes()
    if syntax == JPEG:
        if photometric == "RGB":
            return imagecodecs.jpeg8_encode(frame, level=90, colorspace="RGB", outcolorspace="RGB", subsampling="444")
        return imagecodecs.jpeg8_encode(frame, level=90, colorspace="RGB", outcolorspace="YCBCR", subsampling="422")
    if syntax in {J2K, J2K_LOSSLESS}:
        mct, exact = photometric != "RGB", syntax == J2K_LOSSLESS
        return imagecodecs.jpeg2k_encode(frame, codecformat="j2k", level=0 if exact else 40, reversible=exact, mct=mct)
    if syntax == HTJ2K:
        return imagecodecs.htj2k_encode(frame)
    if syntax == JPEG_LS:
        return imagecodecs.jpegls_encode(frame)
    assert syntax == RLE
    options = {"rows": frame.shape[0], "columns": frame.shape[1], "samples_per_pixel": 3, "bits_allocated": 8, "bits_stored": 8}
    options |= {"pixel_representation": 0, "photometric_interpretation": "RGB", "number_of_frames": 1, "planar_configuration": 0}
    return RLELosslessEncoder.encode(np.ascontiguousarray(frame), index=None, **options)


def tiles_of(image, tile):
    """(column, row, pixels) of all frames in the order of TILED_FULL, the last ones padded with 255."""
    height, width = image.shape[:2]
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            frame = np.full((tile, tile, *image.shape[2:]), 255, image.dtype)
            cut = image[top : top + tile, left : left + tile]
            frame[: cut.shape[0], : cut.shape[1]] = cut
            yield left + 1, top + 1, frame


def write_dicom_slide(
    folder, image, spacing_um, levels=(1, 4), *, transfer_syntax=EXPLICIT, organisation="TILED_FULL", tile=256, photometric=None,
    associated=("LABEL", "OVERVIEW"), skip_frames=(), skip_levels=(), offsets="basic", parts=1, prefix="slide", change=None,
) -> list[Path]:  # fmt: skip
    """Writes one series.

    Args:
        folder: Where to.
        image: (H, W, 3) uint8, level 0.
        spacing_um: Of level 0, one number or (Y, X).
        levels: Downsamples; each becomes an instance.
        transfer_syntax, organisation: UID; TILED_FULL or TILED_SPARSE.
        tile: Side of a frame.
        photometric: None for the usual one of the syntax.
        associated: Further instances by their ImageType.
        skip_frames: (column, row) from 0 of frames that TILED_SPARSE leaves out, in every level.
        skip_levels, parts, prefix: Levels that are not written; files for each level (a concatenation); of file names.
        offsets: ``basic``, ``extended`` or ``none``: the table of frames.
        change: Called with (dataset, position or ImageType) before it is written.

    Returns:
        The files, levels first, the finest first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    um = (spacing_um, spacing_um) if isinstance(spacing_um, (int, float)) else spacing_um
    photometric = photometric or PHOTOMETRIC.get(transfer_syntax, "RGB")
    uids = {"SeriesInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}

    def finished(dataset, name, image_type, frames, what):
        for keyword, value in {**uids, "ImageType": image_type}.items():
            setattr(dataset, keyword, value)
        _pixels(dataset, frames, transfer_syntax, photometric, offsets)
        if change is not None:
            change(dataset, what)
        return _save(dataset, folder / f"{prefix}_{name}.dcm", transfer_syntax)

    paths = []
    for position, down in enumerate(levels):
        if position in skip_levels:
            continue
        pixels = image if down == 1 else np.asarray(Image.fromarray(image).reduce(down))
        kind = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if down == 1 else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        skipped = skip_frames if organisation == "TILED_SPARSE" else ()
        frames = [f for f in tiles_of(pixels, tile) if ((f[0] - 1) // tile, (f[1] - 1) // tile) not in skipped]
        for part, some in enumerate(shares := _shares(frames, parts)):
            dataset = _header(pixels, (um[0] * down, um[1] * down), tile, photometric, organisation, image.shape, um)
            if organisation == "TILED_SPARSE":
                dataset.PerFrameFunctionalGroupsSequence = Sequence(_position(x, y, um, down) for x, y, _ in some)
            name = f"level{position}"
            if parts > 1:
                _concatenated(dataset, part, len(shares), part * len(shares[0]), f"{uids['SeriesInstanceUID']}.{position}")
                name += f"_part{part}"
            paths.append(finished(dataset, name, kind, [f for _, _, f in some], position))
    for what in associated:
        label = np.full((64, 96, 3), 200, np.uint8)
        dataset = _header(label, (um[0] * 100, um[1] * 100), (64, 96), photometric, "TILED_FULL", image.shape, um)
        dataset.SpecimenLabelInImage = "NO" if what == "THUMBNAIL" else "YES"
        kind = ["ORIGINAL", "PRIMARY", what, "RESAMPLED" if what == "THUMBNAIL" else "NONE"]
        paths.append(finished(dataset, what.lower(), kind, [label], what))
    return paths


def _shares(frames, parts):
    """Splits the frames of a level over the files of a concatenation."""
    size = -(-len(frames) // parts)
    return [frames[at : at + size] for at in range(0, len(frames), size)]


def _concatenated(dataset, part, total, before, whole):
    dataset.ConcatenationUID, dataset.SOPInstanceUIDOfConcatenationSource = whole[-64:].strip("."), whole[-64:].strip(".")
    dataset.InConcatenationNumber, dataset.InConcatenationTotalNumber = part + 1, total
    dataset.ConcatenationFrameOffsetNumber = before


def _position(x, y, um, down):
    item, where = Dataset(), Dataset()
    where.ColumnPositionInTotalImagePixelMatrix, where.RowPositionInTotalImagePixelMatrix = x, y
    where.XOffsetInSlideCoordinateSystem = f"{(x - 1) * um[1] * down / 1000:.6f}"
    where.YOffsetInSlideCoordinateSystem = f"{(y - 1) * um[0] * down / 1000:.6f}"
    where.ZOffsetInSlideCoordinateSystem = "0"
    item.PlanePositionSlideSequence = Sequence([where])
    return item


def _pixels(dataset, frames, syntax, photometric, offsets):
    dataset.NumberOfFrames = len(frames)
    data = [encoded(frame, syntax, photometric) for frame in frames]
    if syntax in NATIVE:
        joined = b"".join(data)
        dataset.PixelData = joined + b"\0" * (len(joined) % 2)
    elif offsets == "extended":
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(data)
    else:
        dataset.PixelData = encapsulate(data, has_bot=offsets == "basic")
    dataset["PixelData"].VR = "OB"


def _header(pixels, um, tile, photometric, organisation, finest, finest_um):
    rows, columns = tile if isinstance(tile, tuple) else (tile, tile)
    d = Dataset()
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = SLIDE_CLASS, generate_uid(), "SM"
    d.PatientName, d.PatientID, d.PatientBirthDate, d.PatientSex = PATIENT, "Quirina-1", "19560229", "F"
    d.StudyDate, d.StudyTime, d.ContentDate, d.ContentTime = "19560229", "101010", "19560229", "101010"
    d.AcquisitionDateTime = "19560229101010"
    d.Manufacturer, d.ManufacturerModelName, d.DeviceSerialNumber, d.SoftwareVersions = "Zeppelin Optics", "Z1", SERIAL, "1"
    d.AccessionNumber, d.ReferringPhysicianName, d.StudyID = BARCODE, PATIENT, "1"
    d.ContainerIdentifier, d.SeriesNumber, d.InstanceNumber = BARCODE, 1, 1
    d.IssuerOfTheContainerIdentifierSequence, d.ContainerTypeCodeSequence = Sequence(), Sequence([_code("433466003", "Slide")])
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = BARCODE, generate_uid()
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = Sequence(), Sequence()
    d.SpecimenDescriptionSequence, d.AcquisitionContextSequence = Sequence([specimen]), Sequence()
    d.VolumetricProperties, d.ImagedVolumeDepth, d.PositionReferenceIndicator = "VOLUME", 0.001, "SLIDE_CORNER"
    d.ImagedVolumeWidth, d.ImagedVolumeHeight = finest[1] * finest_um[1] / 1000, finest[0] * finest_um[0] / 1000
    d.SpecimenLabelInImage, d.BurnedInAnnotation, d.FocusMethod, d.ExtendedDepthOfField = "NO", "NO", "AUTO", "NO"
    d.SamplesPerPixel, d.PlanarConfiguration, d.PhotometricInterpretation = 3, 0, photometric
    d.Rows, d.Columns, d.TotalPixelMatrixRows, d.TotalPixelMatrixColumns = rows, columns, pixels.shape[0], pixels.shape[1]
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation, d.LossyImageCompression = 8, 8, 7, 0, "00"
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "0", "0"
    d.TotalPixelMatrixOriginSequence, d.TotalPixelMatrixFocalPlanes = Sequence([origin]), 1
    d.ImageOrientationSlide, d.NumberOfOpticalPaths = ["0", "-1", "0", "-1", "0", "0"], 1
    path = Dataset()
    path.OpticalPathIdentifier, path.ObjectiveLensPower = "1", "20"
    path.IlluminationTypeCodeSequence = Sequence([_code("111744", "Brightfield illumination", "DCM")])
    path.IlluminationColorCodeSequence = Sequence([_code("371251000", "White color")])
    path.ICCProfile = _profile()
    d.OpticalPathSequence = Sequence([path])
    measures, shared, kind, group = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [f"{um[0] / 1000:.9g}", f"{um[1] / 1000:.9g}"], "0.001"
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared.PixelMeasuresSequence, shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([measures]), Sequence([kind])
    group.OpticalPathIdentifier = "1"
    shared.OpticalPathIdentificationSequence = Sequence([group])
    d.SharedFunctionalGroupsSequence, d.DimensionOrganizationType = Sequence([shared]), organisation
    organised, index = Dataset(), Dataset()
    organised.DimensionOrganizationUID = generate_uid()
    index.DimensionOrganizationUID, index.DimensionIndexPointer = organised.DimensionOrganizationUID, 0x0048021E
    d.DimensionOrganizationSequence, d.DimensionIndexSequence = Sequence([organised]), Sequence([index])
    return d


def _profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _code(value, meaning, scheme="SCT"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _save(dataset, path, syntax):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    file = FileDataset(str(path), dataset, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)
    return path
