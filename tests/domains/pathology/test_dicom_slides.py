"""DICOM whole-slide images: pixels against OpenSlide, pydicom and wsidicom, the scale, and what is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from dicom_slides import (
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    J2K,
    J2K_LOSSLESS,
    JPEG,
    JPEG_LS,
    RLE,
    SLIDE_CLASS,
    picture,
    write_dicom_slide,
)
from PIL import Image
from pydicom.pixels import pixel_array

from domainclip.domains.base import domains
from domainclip.domains.check import check_domain
from domainclip.domains.detect import detect_domain
from domainclip.domains.dicom_kind import SOP_CLASS, file_meta
from domainclip.domains.pathology import dicom_frames, dicom_header
from domainclip.domains.pathology.dicom_slide import DicomSlide
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError
from domainclip.sample import Region, SourceItem

PATHOLOGY = domains.get("pathology")


IMAGE = picture()
BOTH = {  # OpenSlide 4.0.1 reads these
    "native": {"transfer_syntax": EXPLICIT},
    "JPEG": {"transfer_syntax": JPEG},
    "JPEG in RGB": {"transfer_syntax": JPEG, "photometric": "RGB"},
    "JPEG 2000": {"transfer_syntax": J2K},
    "JPEG 2000 in RGB": {"transfer_syntax": J2K, "photometric": "RGB"},
    "lossless JPEG 2000": {"transfer_syntax": J2K_LOSSLESS},
    "sparse": {"transfer_syntax": JPEG, "organisation": "TILED_SPARSE"},
    "sparse with gaps": {"transfer_syntax": JPEG, "organisation": "TILED_SPARSE", "skip_frames": [(1, 1), (3, 0)]},
    "no offset table": {"transfer_syntax": JPEG, "offsets": "none"},
    "extended offset table": {"transfer_syntax": JPEG, "offsets": "extended"},
    "concatenation": {"transfer_syntax": JPEG, "parts": 3},
    "sparse concatenation": {"transfer_syntax": JPEG, "parts": 3, "organisation": "TILED_SPARSE"},
}
OURS = {  # and refuses these
    "implicit": {"transfer_syntax": IMPLICIT},
    "RLE": {"transfer_syntax": RLE},
    "HTJ2K": {"transfer_syntax": HTJ2K},
    "sparse RLE": {"transfer_syntax": RLE, "organisation": "TILED_SPARSE"},
    "concatenated HTJ2K": {"transfer_syntax": HTJ2K, "parts": 3},
    "implicit and sparse": {"transfer_syntax": IMPLICIT, "organisation": "TILED_SPARSE"},
}


def whole(slide, level=0):
    width, height, _ = slide.facts.levels[level]
    return slide.read_level(level, 0, 0, width, height)


@pytest.mark.parametrize("kind", BOTH)
def test_our_reader_gives_the_pixels_of_openslide(tmp_path, kind):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, **BOTH[kind])
    ours, theirs = DicomSlide(paths[0]), openslide.OpenSlide(str(paths[0]))
    assert [level[:2] for level in ours.facts.levels] == list(theirs.level_dimensions)
    assert [level[2] for level in ours.facts.levels] == pytest.approx(theirs.level_downsamples)
    for level, (width, height) in enumerate(theirs.level_dimensions):
        region = np.array(theirs.read_region((0, 0), level, (width, height)))
        region[region[..., 3] == 0] = 255
        np.testing.assert_array_equal(whole(ours, level), region[..., :3])
    by_label = open_slide(paths[-1])
    np.testing.assert_array_equal(by_label.read_level(0, 101, 57, 300, 200), whole(ours)[57:257, 101:401])


@pytest.mark.parametrize("kind", OURS)
def test_what_openslide_refuses_gives_the_frames_of_pydicom(tmp_path, kind):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, **OURS[kind])
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(str(paths[0]))
    slide = open_slide(paths[0])
    assert slide.facts.format == "DICOM slide (pydicom)"
    joined = np.zeros((4 * 128, 5 * 128, 3), np.uint8)
    parts = [pydicom.dcmread(path) for path in paths if "level0" in path.name]
    frames = [frame for part in parts for frame in pixel_array(part).reshape(-1, 128, 128, 3)]
    for number, frame in enumerate(frames):
        row, column = divmod(number, 5)
        joined[row * 128 : row * 128 + 128, column * 128 : column * 128 + 128] = frame
    np.testing.assert_array_equal(whole(slide), joined[:500, :620])
    np.testing.assert_array_equal(whole(slide), IMAGE)  # all of them are lossless
    np.testing.assert_array_equal(slide.read_level(0, 101, 57, 300, 200), IMAGE[57:257, 101:401])
    np.testing.assert_array_equal(slide.read_level(1, 3, 2, 150, 120), np.asarray(Image.fromarray(IMAGE).reduce(4))[2:122, 3:153])


def test_jpeg_ls_gives_the_pixels_that_were_written(tmp_path):
    # pydicom has no decoder of its own for it; the coder (CharLS) is lossless.
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=JPEG_LS)
    np.testing.assert_array_equal(whole(open_slide(paths[0])), IMAGE)


@pytest.mark.parametrize("planar", [0, 1])
def test_native_luminance_and_planes_become_rgb(tmp_path, planar):
    rgb = IMAGE[:128, :128].astype(np.float64)
    ybr = np.stack((0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2],
                    -0.168736 * rgb[..., 0] - 0.331264 * rgb[..., 1] + 0.5 * rgb[..., 2] + 128,
                    0.5 * rgb[..., 0] - 0.418688 * rgb[..., 1] - 0.081312 * rgb[..., 2] + 128), axis=-1)  # fmt: skip
    stored = np.clip(np.rint(ybr), 0, 255).astype(np.uint8)

    def change(dataset, position):
        dataset.PlanarConfiguration = planar
        if planar:
            dataset.PixelData = np.ascontiguousarray(stored.transpose(2, 0, 1)).tobytes()

    paths = write_dicom_slide(tmp_path, stored, 0.5, levels=(1,), tile=128, photometric="YBR_FULL", associated=(), change=change)
    np.testing.assert_allclose(whole(open_slide(paths[0])).astype(int), rgb, atol=2)
    np.testing.assert_allclose(whole(open_slide(paths[0])).astype(int), pixel_array(paths[0]).astype(int), atol=1)


def test_frames_that_were_not_scanned_are_white(tmp_path):
    gaps = {"organisation": "TILED_SPARSE", "skip_frames": [(1, 1)], "tile": 128}
    for syntax in (EXPLICIT, RLE):
        paths = write_dicom_slide(tmp_path / syntax, IMAGE, 0.5, transfer_syntax=syntax, **gaps)
        expected = IMAGE.copy()
        expected[128:256, 128:256] = 255
        slide = open_slide(paths[0])
        np.testing.assert_array_equal(whole(slide), expected)
        not_scanned = np.zeros(IMAGE.shape[:2], np.bool_)
        not_scanned[128:256, 128:256] = True
        np.testing.assert_array_equal(slide.read_masked(0, 0, 0, 620, 500).missing, not_scanned)
        assert slide.read_masked(0, 256, 0, 300, 500).missing is None


def test_scale_has_rows_first_and_its_source(tmp_path):
    paths = write_dicom_slide(tmp_path, IMAGE, (0.5, 0.25), tile=128)
    seen = PATHOLOGY.inspect(paths[0])
    assert seen.spacing == {"x": 0.25, "y": 0.5, "unit": "um", "source": "dicom.PixelSpacing"}
    theirs = openslide.OpenSlide(str(paths[0])).properties
    assert (float(theirs["openslide.mpp-x"]), float(theirs["openslide.mpp-y"])) == (0.25, 0.5)
    assert seen.details == {
        "finest_level": "original", "organisation": "TILED_FULL", "photometric": "RGB", "objective_power": "20",
    }  # fmt: skip
    tiles = list(PATHOLOGY.samples(SourceItem(paths[0], "s.dcm"), PathologyReading(tile_um=64, tile_px=64, min_tissue=0)))
    assert len(tiles) == 3 * 2  # 500 x 0.5 um high, 620 x 0.25 um wide
    assert tiles[0].spacing.values == (1.0, 1.0)


def without_spacing(dataset, position):
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


def with_metres(dataset, position):
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["0.5", "0.5"]


def without_any(dataset, position):
    without_spacing(dataset, position)
    del dataset.ImagedVolumeWidth


def without_power(dataset, position):
    without_any(dataset, position)
    del dataset.OpticalPathSequence[0].ObjectiveLensPower


@pytest.mark.parametrize(
    ("change", "source", "um"),
    [
        (without_spacing, "dicom.ImagedVolume", 0.5),
        (with_metres, "dicom.ImagedVolume", 0.5),
        (without_any, "objective-power", 0.5),
        (without_power, None, None),
    ],
)
def test_scale_without_a_pixel_spacing(tmp_path, change, source, um):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=RLE, change=change)
    spacing = open_slide(paths[0]).facts.scale.spacing
    assert (spacing.source if spacing else None) == source
    if um:
        assert spacing.values == pytest.approx((um, um))
    if change is with_metres:
        assert open_slide(paths[0]).facts.scale.passed_over == ("dicom.PixelSpacing says 500 um/px, which is not a microscope's",)


def test_positions_found_by_their_bytes_are_those_of_pydicom(tmp_path):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, organisation="TILED_SPARSE", skip_frames=[(2, 2)])
    instance = dicom_header.peek(paths[0])
    scanned = dicom_header._scanned_positions(instance, dicom_header.read_layout(instance))
    assert len(scanned) == 19
    assert scanned == dicom_header._parsed_positions(instance)


def test_decoded_frames_are_kept_within_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("domainclip.domains.pathology.dicom_slide._CACHE_BYTES", 3 * 128 * 128 * 3)
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128, transfer_syntax=RLE)
    slide = DicomSlide(paths[0])
    calls = []
    original = dicom_frames.decoded
    monkeypatch.setattr(dicom_frames, "decoded", lambda *given: (calls.append(1), original(*given))[1])
    for _ in range(3):
        slide.read_level(0, 10, 10, 200, 100)  # two frames
    assert len(calls) == 2
    whole(slide)
    assert len(slide._decoded) == 3


def test_pathology_takes_slides_and_radiology_the_rest(tmp_path, monkeypatch):
    from pydicom.data import get_testdata_file

    slide = write_dicom_slide(tmp_path, IMAGE, 0.5, tile=128)[0]
    ct = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    radiology = domains.get("radiology")
    assert (PATHOLOGY.recognises(slide), radiology.recognises(slide), detect_domain(slide)) == (True, False, "pathology")
    assert (PATHOLOGY.recognises(ct), radiology.recognises(ct), detect_domain(ct)) == (False, True, "radiology")
    assert file_meta(slide)[SOP_CLASS] == SLIDE_CLASS == str(pydicom.dcmread(slide).file_meta.MediaStorageSOPClassUID)
    assert file_meta(ct) == {
        element.tag.element: str(element.value) for element in pydicom.dcmread(ct).file_meta if element.VR == "UI"
    }
    assert file_meta(tmp_path) == file_meta(tmp_path / "gone") == {}


@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_the_domain_conforms_on_dicom_slides(tmp_path, syntax):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, levels=(1,), tile=128, transfer_syntax=syntax, associated=())
    assert check_domain(PATHOLOGY, paths, PathologyReading(tile_um=60, tile_px=64, min_tissue=0)) == ()


@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_a_missing_level_zero_keeps_the_scale_true_and_is_said(tmp_path, syntax):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, levels=(1, 2, 4), skip_levels=(0,), tile=128, transfer_syntax=syntax)
    seen = PATHOLOGY.inspect(paths[0])
    assert seen.spacing["x"] == 1.0
    assert (seen.width, seen.height) == (310, 250)
    assert any("level 0 is missing" in line for line in seen.missing)
    reading = PathologyReading(tile_um=64, tile_px=64, min_tissue=0)
    assert list(PATHOLOGY.samples(SourceItem(paths[0], "s"), reading))
    annotated = SourceItem(paths[0], "s", regions=(Region(((0, 0), (9, 0), (9, 9)), {"tissue": "gland"}),))
    with pytest.raises(UnreadableFileError, match="annotations, in pixels of level 0"):
        list(PATHOLOGY.samples(annotated, reading))


def test_a_missing_middle_level_and_parts(tmp_path):
    paths = write_dicom_slide(tmp_path / "a", IMAGE, 0.5, levels=(1, 2, 4), skip_levels=(1,), tile=128, transfer_syntax=RLE)
    assert [level[2] for level in open_slide(paths[0]).facts.levels] == [1.0, 4.0]
    paths = write_dicom_slide(tmp_path / "b", IMAGE, 0.5, tile=128, transfer_syntax=RLE, parts=3)
    paths[1].unlink()
    with pytest.raises(UnreadableFileError, match="split over 3 files, of which 2 are here"):
        open_slide(paths[0])


def test_a_label_alone_is_no_slide(tmp_path):
    paths = write_dicom_slide(tmp_path, IMAGE, 0.5, levels=(), associated=("LABEL",))
    with pytest.raises(UnreadableFileError, match="a label image, and no level"):
        open_slide(paths[0])


_READ_BY_WSIDICOM = """
import sys
import numpy as np
from wsidicom import WsiDicom
slide = WsiDicom.open(sys.argv[1])
np.save(sys.argv[2], np.asarray(slide.read_region((0, 0), 0, (slide.size.width, slide.size.height)).convert("RGB")))
print(slide.mpp.width, slide.mpp.height)
"""


@pytest.mark.peers
@pytest.mark.parametrize("organisation", ["TILED_FULL", "TILED_SPARSE"])
@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG, JPEG_LS, J2K, J2K_LOSSLESS, HTJ2K, RLE])
def test_pixels_and_scale_are_those_of_wsidicom(tmp_path, syntax, organisation):
    python = os.environ.get("DOMAINCLIP_PEERS_PYTHON")
    if not python:
        pytest.skip("DOMAINCLIP_PEERS_PYTHON names no interpreter with wsidicom")
    paths = write_dicom_slide(tmp_path / "slide", IMAGE, (0.5, 0.25), tile=128, transfer_syntax=syntax, organisation=organisation)
    command = [python, "-c", _READ_BY_WSIDICOM, str(tmp_path / "slide"), str(tmp_path / "theirs.npy")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    slide = open_slide(paths[0])
    assert [float(value) for value in done.stdout.split()] == pytest.approx(slide.facts.scale.spacing.values[::-1])
    # wsidicom decodes JPEG and JPEG 2000 through Pillow, whose conversion of colours may round another way.
    lossy = 2 if syntax in {JPEG, J2K} else 0
    np.testing.assert_allclose(whole(slide).astype(int), np.load(tmp_path / "theirs.npy").astype(int), atol=lossy)
