"""DICOM slides that would be read wrong, are spoilt, or name a person: refused in words that give nothing away."""

from __future__ import annotations

import re

import dicom_slides
import numpy as np
import openslide
import pydicom
import pytest
from dicom_slides import (
    DEFLATED,
    EXPLICIT,
    J2K_LOSSLESS,
    JPEG,
    PLANTED,
    RLE,
    picture,
    write_dicom_slide,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from domainclip.domains.base import domains
from domainclip.domains.pathology.dicom_slide import DicomSlide
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

PATHOLOGY = domains.get("pathology")
IMAGE = picture()


def focal(dataset, position):
    dataset.TotalPixelMatrixFocalPlanes = 3


def optical(dataset, position):
    dataset.NumberOfOpticalPaths = 2


def optical_items(dataset, position):
    dataset.OpticalPathSequence = Sequence([dataset.OpticalPathSequence[0], Dataset()])


def deep(dataset, position):
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11


def grey(dataset, position):
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"


def named(dataset, position):
    dataset.PhotometricInterpretation = "ZEPPELIN"


def burnt(dataset, position):
    dataset.BurnedInAnnotation = "YES"


def label_in_view(dataset, position):
    dataset.SpecimenLabelInImage = "YES"


def few(dataset, position):
    dataset.NumberOfFrames = 7


def huge(dataset, position):
    dataset.Rows = dataset.Columns = 60_000


def vast(dataset, position):
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 2**31


def planes_in_frames(dataset, position):
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix = 1


def off_grid(dataset, position):
    group = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    group.ColumnPositionInTotalImagePixelMatrix = 2


def outside(dataset, position):
    group = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    group.ColumnPositionInTotalImagePixelMatrix = 128 * 50 + 1


REFUSED = [
    (focal, {}, "3 focal planes"),
    (optical, {}, "2 optical paths"),
    (optical_items, {}, "2 optical paths"),
    (deep, {}, "16 bits"),
    (grey, {}, "MONOCHROME2 with 1 samples"),
    (named, {}, "unknown with 3 samples"),
    (burnt, {}, "label are in the picture"),
    (label_in_view, {}, "label are in the picture"),
    (few, {}, "has 7 frames; 20 cover it"),
    (huge, {}, "60000 x 60000 pixels: too many"),
    (vast, {}, "too many"),
    (planes_in_frames, {"organisation": "TILED_SPARSE"}, "several focal planes"),
    (off_grid, {"organisation": "TILED_SPARSE"}, "do not lie on a grid"),
    (outside, {"organisation": "TILED_SPARSE"}, "outside of the level"),
    (None, {"transfer_syntax": DEFLATED}, "deflated"),
]


@pytest.mark.parametrize(("change", "options", "words"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_would_be_read_wrong_is_refused_by_name(tmp_path, change, options, words):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, associated=(), change=change, **options)
    with pytest.raises(UnreadableFileError, match=re.escape(words)) as caught:
        open_slide(paths[0])
    assert not any(word in str(caught.value) for word in (*PLANTED, "ZEPPELIN", str(tmp_path)))


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG, RLE])
def test_a_copy_that_broke_off_is_refused_when_it_is_opened(tmp_path, syntax):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=syntax)
    data = paths[0].read_bytes()
    for share in (0.3, 0.6, 0.97):
        paths[0].write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableFileError) as caught:
            open_slide(paths[0])
        assert not any(word in str(caught.value) for word in PLANTED)


def test_openslide_never_sees_a_dicom_file(tmp_path, monkeypatch):
    # A spoilt header takes the whole process down in OpenSlide 4.0.1.
    monkeypatch.setattr(openslide, "OpenSlide", None)
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=JPEG)
    assert open_slide(paths[0]).facts.format == "DICOM slide (pydicom)"
    paths[0].write_bytes(paths[0].read_bytes()[:500])
    with pytest.raises(UnreadableFileError):
        open_slide(paths[0])


def test_no_cut_and_no_flipped_byte_raises_anything_else(tmp_path):
    paths = write_dicom_slide(tmp_path, IMAGE[:200, :200], 0.5, levels=(1,), tile=128, transfer_syntax=JPEG, associated=())
    data = paths[0].read_bytes()
    rng = np.random.default_rng(0)
    for number in range(150):
        spoilt = bytearray(data)
        for at in rng.integers(128, len(data), 3):
            spoilt[at] = rng.integers(0, 256)
        kept = bytes(spoilt) if number % 2 else bytes(spoilt[: rng.integers(0, len(data))])
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(kept)
        PATHOLOGY.recognises(path)
        PATHOLOGY.gathered([path])
        try:
            slide = DicomSlide(path)
            slide.read_level(0, 0, 0, *slide.facts.levels[0][:2])
        except UnreadableFileError as error:
            assert not any(word in str(error) for word in PLANTED)
        path.unlink()


def test_a_frame_whose_codestream_is_larger_than_the_header_is_not_decoded(tmp_path):
    big = dicom_slides.encoded(np.zeros((4096, 4096, 3), np.uint8), J2K_LOSSLESS, "YBR_RCT")

    def change(dataset, position):
        dataset.PixelData = pydicom.encaps.encapsulate([big] * dataset.NumberOfFrames)

    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=J2K_LOSSLESS, change=change)
    with pytest.raises(UnreadableFileError, match="cannot be decoded"):
        DicomSlide(paths[0]).read_level(0, 0, 0, 10, 10)


@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_nothing_of_the_header_leaves_it(tmp_path, syntax):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=syntax)
    raw = paths[0].read_bytes()
    assert all(word.encode() in raw for word in PLANTED)
    uids = [str(element.value) for element in pydicom.dcmread(paths[0]).iterall() if element.VR == "UI"]
    facts = open_slide(paths[0]).facts
    samples = list(PATHOLOGY.samples(SourceItem(paths[0], "s.dcm"), PathologyReading(min_tissue=0)))
    said = " ".join(str(thing) for thing in (facts, PATHOLOGY.inspect(paths[0]), *samples))
    assert not [word for word in (*PLANTED, "Zeppelin Optics", *uids) if word in said]
