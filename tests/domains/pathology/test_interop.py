"""Coordinates and features of TRIDENT, CLAM and AtlasPatch: files laid out by hand as those programs write them."""

from __future__ import annotations

import pickle
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from domainclip.domains.pathology.coordinates import TileCoordinates, coordinates_for, read_coordinates
from domainclip.domains.pathology.hdf5_coordinates import write_coordinates, write_features_h5
from domainclip.domains.pathology.tile_features import read_features
from domainclip.errors import UnreadableFileError, UsageError

h5py = pytest.importorskip("h5py")

CORNERS = np.array([[0, 0], [512, 0], [0, 1024]])
TRIDENT = {
    "patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40, "target_magnification": 20, "overlap": 32,
    "name": "TCGA-01", "savetodir": "/data/someone", "level0_width": 40000, "level0_height": 30000,
}  # fmt: skip


def put(path: Path, attributes=(), coords=CORNERS, dtype=np.int64, root=(), **more) -> Path:
    """Writes ``coords`` in chunks of one row that can grow, as save_h5 of TRIDENT and save_hdf5 of CLAM do."""
    with h5py.File(path, "w") as file:
        values = np.asarray(coords, dtype=dtype)
        dataset = file.create_dataset("coords", data=values, maxshape=(None, values.shape[1]), chunks=(1, values.shape[1]))
        for name, value in dict(attributes).items():
            dataset.attrs[name] = value
        for name, value in dict(root).items():
            file.attrs[name] = value
        for name, value in more.items():
            file[name] = value
    return path


def reason(path: Path, **options) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read_coordinates(path, **options)
    error = caught.value
    assert error.asked and error.found and error.remedy
    assert str(path) not in error.found and "Mustermann" not in error.found + error.remedy
    return error.found


# --- reading ---------------------------------------------------------------------------------------------------------------------


def test_trident(tmp_path):
    # trident/IO.py, coords_to_h5: attributes of coords.
    tiles = read_coordinates(put(tmp_path / "TCGA-01_patches.h5", TRIDENT))
    assert tiles.boxes.dtype == np.float64
    assert tiles.boxes.tolist() == [[0, 0, 512, 512], [512, 0, 512, 512], [0, 1024, 512, 512]]
    assert (tiles.origin, tiles.slide, tiles.tile_px, tiles.overlap_px) == ("trident", "TCGA-01", 256, 32)
    assert tiles.spacing_um is None  # 20x is a step of TRIDENT's and no scale


def test_trident_without_the_size_at_level_0(tmp_path):
    attributes = {key: value for key, value in TRIDENT.items() if key != "patch_size_level0"}
    # trident/wsi_objects/WSIPatcher.py reads round(patch_size * source / target): 200 * 40 / 30 = 266.67.
    attributes |= {"patch_size": 200, "target_magnification": 30}
    assert read_coordinates(put(tmp_path / "a.h5", attributes)).boxes[0].tolist() == [0, 0, 267, 267]
    # The stored size is rounded down (coords_to_h5), which is no contradiction.
    assert read_coordinates(put(tmp_path / "b.h5", {**attributes, "patch_size_level0": 266})).boxes[0, 2] == 266


def test_clam_of_level_0_and_of_a_coarser_level(tmp_path):
    # wsi_core/WholeSlideImage.py, process_contour; the downsample of a level is a pair there.
    attributes = {"patch_size": 256, "patch_level": 0, "downsample": (1.0, 1.0), "name": "s1", "save_path": "/x"}
    tiles = read_coordinates(put(tmp_path / "a.h5", attributes, dtype=np.int32))
    assert (tiles.origin, tiles.slide, tiles.tile_px) == ("clam", "s1", 256)
    assert tiles.boxes[1].tolist() == [512, 0, 256, 256]
    coarser = {**attributes, "patch_level": 1, "downsample": (4.0, 4.0009765625)}
    assert read_coordinates(put(tmp_path / "b.h5", coarser)).boxes[0, 2:].tolist() == [1024, 1024.25]
    # extract_features_fp.py of versions with custom_downsample: what was read is shrunk by it.
    shrunk = read_coordinates(put(tmp_path / "c.h5", {**coarser, "custom_downsample": 2}))
    assert (shrunk.tile_px, shrunk.boxes[0, 2]) == (128, 1024)


def test_clam_that_does_not_say_its_level_must_be_told(tmp_path):
    path = put(tmp_path / "a.h5", {"patch_size": 256, "patch_level": 2, "name": "s"})
    assert "level 2" in reason(path)
    assert read_coordinates(path, downsamples=(1, 4, 16.002)).boxes[0, 2] == pytest.approx(256 * 16.002)
    assert "2 levels" in reason(path, downsamples=(1, 4))


def test_clam_of_another_slide_is_refused(tmp_path):
    path = put(tmp_path / "a.h5", {"patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0)})
    assert read_coordinates(path, downsamples=(1, 4.01)).boxes[0, 2] == 1024
    assert "4" in reason(path, downsamples=(1, 2))


def test_atlaspatch(tmp_path):
    # atlas_patch/services/storage.py: five columns, attributes on the file, wsi_path names the slide.
    rows = [[0, 0, 256, 256, 1], [512, 0, 256, 256, 1]]
    root = {**{k: v for k, v in TRIDENT.items() if k not in {"name", "savetodir"}}, "wsi_path": "C:\\slides\\Müller 1.svs"}
    tiles = read_coordinates(put(tmp_path / "a.h5", coords=rows, dtype=np.int32, root=root))
    assert (tiles.origin, tiles.slide, tiles.tile_px, tiles.overlap_px) == ("atlaspatch", "Müller 1", 256, 32)
    assert tiles.boxes.tolist() == [[0, 0, 512, 512], [512, 0, 512, 512]]
    bare = put(tmp_path / "b.h5", coords=rows, dtype=np.int32)
    assert "level 1" in reason(bare)
    assert read_coordinates(bare, downsamples=(1, 4)).boxes[0].tolist() == [0, 0, 1024, 1024]
    assert "differ" in reason(put(tmp_path / "c.h5", coords=[[0, 0, 300, 300, 0]], root=root))


def test_a_feature_file_of_trident_carries_its_coordinates(tmp_path):
    path = put(tmp_path / "s.h5", TRIDENT, features=np.eye(3, 8, dtype=np.float16))
    with h5py.File(path, "a") as file:
        file["features"].attrs["encoder"] = "conch_v1"
    found = read_features(path)
    assert found.values.dtype == np.float32 and np.array_equal(found.values, np.eye(3, 8))
    assert found.encoder == "conch_v1" and found.coordinates.boxes[2].tolist() == [0, 1024, 512, 512]


def test_a_feature_file_of_clam_needs_the_file_it_was_cut_by(tmp_path):
    # extract_features_fp.py: features float32 and coords int32, no attributes.
    path = put(tmp_path / "s.h5", dtype=np.int32, features=np.ones((3, 4), np.float32))
    assert "no attributes" in reason(path)
    assert read_features(path).coordinates is None
    cut = put(tmp_path / "cut.h5", {"patch_size": 256, "patch_level": 0})
    assert read_features(path, cut).coordinates.boxes[1].tolist() == [512, 0, 256, 256]
    other = put(tmp_path / "other.h5", {"patch_size": 256, "patch_level": 0}, coords=CORNERS + 1)
    with pytest.raises(UnreadableFileError, match="others than"):
        read_features(path, other)


def test_several_features_of_atlaspatch_are_taken_by_name(tmp_path):
    path = put(tmp_path / "s.h5", coords=[[0, 0, 64, 64, 0]])
    with h5py.File(path, "a") as file:
        file["features/plip"], file["features/uni"] = np.ones((1, 4), np.float32), np.ones((1, 5), np.float32)
    with pytest.raises(UnreadableFileError, match="2 kinds"):
        read_features(path)
    assert read_features(path, name="uni").values.shape == (1, 5)


def test_the_file_of_a_slide_is_found(tmp_path):
    assert coordinates_for(tmp_path, "a") is None
    (tmp_path / "patches").mkdir()
    clam, trident = put(tmp_path / "a.h5"), put(tmp_path / "patches" / "b_patches.h5")
    assert coordinates_for(tmp_path, "a") == clam
    assert coordinates_for(tmp_path, "b") == trident
    assert coordinates_for(tmp_path, "b.ome") == trident
    put(tmp_path / "a_patches.h5")
    with pytest.raises(UsageError, match="a_patches"):
        coordinates_for(tmp_path, "a")
    for stem in ("../a", "", "x/a", "x\\a"):
        with pytest.raises(UsageError):
            coordinates_for(tmp_path / "patches", stem)
    with pytest.raises(UsageError):
        coordinates_for(tmp_path / "absent", "a")


# --- hostile and broken ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"patch_size_level0": 800}, "gives 512|give 512"),
        ({"patch_size_level0": -512}, "800|512|positive"),
        ({"patch_size": 0}, "positive"),
        ({"patch_size": float("nan")}, "finite"),
        ({"level0_magnification": [40, 40]}, "2 numbers"),
        ({"overlap": -1}, "negative"),
        ({"patch_size": np.arange(1000)}, "no number"),
    ],
)
def test_attributes_that_contradict_or_are_none_are_refused(tmp_path, change, word):
    assert re.search(word, reason(put(tmp_path / "Mustermann.h5", {**TRIDENT, **change})))


def test_coordinates_that_are_none_are_refused(tmp_path):
    assert "NaN" in reason(put(tmp_path / "a.h5", TRIDENT, coords=[[0, np.nan]], dtype=np.float64))
    assert "no plain numbers" in reason(put(tmp_path / "b.h5", TRIDENT, coords=[[b"a", b"b"]], dtype="S1"))
    assert "shape" in reason(put(tmp_path / "c.h5", TRIDENT, coords=np.zeros((4, 3))))
    assert "farther" in reason(put(tmp_path / "d.h5", TRIDENT, coords=[[2**40, 0]]))
    assert "not positive" in reason(put(tmp_path / "e.h5", coords=[[0, 0, -5, 256, 0]]))


def test_the_same_table_without_tiles_is_read(tmp_path):
    # TRIDENT writes such files for slides without tissue (tests/test_empty_coords_pipeline.py there).
    assert len(read_coordinates(put(tmp_path / "a.h5", TRIDENT, coords=np.zeros((0, 2))))) == 0


def _linked(path: Path, kind: str) -> Path:
    secret = path.with_name("secret.bin")
    secret.write_bytes(np.arange(64, dtype=np.int64).tobytes())
    elsewhere = put(path.with_name("elsewhere.h5"), TRIDENT)
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["coords"] = h5py.ExternalLink(str(elsewhere), "coords")
        elif kind == "soft link":
            file["other"] = CORNERS
            file["coords"] = h5py.SoftLink("/other")
        elif kind == "virtual dataset":
            layout = h5py.VirtualLayout((3, 2), np.int64)
            layout[:] = h5py.VirtualSource(str(elsewhere), "coords", (3, 2))
            file.create_virtual_dataset("coords", layout)
        elif kind == "external storage":
            file.create_dataset("coords", (4, 2), np.int64, external=[(str(secret), 0, 64)])
        elif kind == "references":
            dataset = file.create_dataset("coords", (3, 2), h5py.ref_dtype)
            dataset[0, 0] = file.ref
        elif kind == "group":
            file.create_group("coords")
        if isinstance(file.get("coords", getlink=True), h5py.HardLink):
            file["coords"].attrs.update(TRIDENT)
    return path


@pytest.mark.parametrize(
    "kind", ["external link", "soft link", "virtual dataset", "external storage", "references", "group", "nothing"]
)
def test_what_leads_elsewhere_is_not_followed(tmp_path, kind):
    reason(_linked(tmp_path / "Mustermann.h5", kind))


def test_an_attribute_that_is_a_reference_is_refused(tmp_path):
    path = put(tmp_path / "a.h5", TRIDENT)
    with h5py.File(path, "a") as file:
        file["coords"].attrs["patch_size_level0"] = file.ref
    assert "patch_size_level0" in reason(path)


@pytest.mark.parametrize(
    ("shape", "chunks", "word"),
    [
        ((10**12, 2), (10**6, 2), "the limits are"),
        ((10**7, 2), (1000, 2), "more than the file holds"),
        ((10, 2), (10**8, 2), "pieces"),
        ((10**7, 2), None, "more than the file holds"),
    ],
)
def test_a_small_file_that_declares_much_costs_nothing(tmp_path, shape, chunks, word):
    path = tmp_path / "Mustermann.h5"
    with h5py.File(path, "w") as file:
        maxshape = (None, 2) if chunks else None
        file.create_dataset("coords", shape, np.int64, chunks=chunks, maxshape=maxshape, fillvalue=0).attrs.update(TRIDENT)
    assert path.stat().st_size < 20_000
    tracemalloc.start()
    assert word in reason(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_table_of_which_a_piece_was_never_written_is_refused(tmp_path):
    path = put(tmp_path / "a.h5", TRIDENT)
    with h5py.File(path, "a") as file:
        file["coords"].resize(4, axis=0)  # h5py gives the new row no storage; it would read as (0, 0)
    assert "more than the file holds" in reason(path)


def test_files_that_are_no_hdf5_or_broken_are_refused(tmp_path):
    whole = put(tmp_path / "whole.h5", TRIDENT).read_bytes()
    broken = tmp_path / "Mustermann.h5"
    random = np.random.default_rng(0).bytes(2000)
    for content in (b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + random, whole[:600], whole[: len(whole) // 2], random):
        broken.write_bytes(content)
        reason(broken)
    broken.write_bytes(pickle.dumps({"coords": CORNERS}))
    assert "no HDF5" in reason(broken)
    reason(tmp_path)
    reason(tmp_path / "absent.h5")


def test_features_that_cannot_be_are_refused(tmp_path):
    for number, features in enumerate((np.ones((2, 4), np.float32), np.ones((3, 4), np.int32), np.full((3, 4), np.nan), np.ones(3),
                                       np.full((3, 4), 1e300))):  # fmt: skip
        with pytest.raises(UnreadableFileError):
            read_features(put(tmp_path / f"{number}.h5", TRIDENT, features=features))
    with pytest.raises(UnreadableFileError):
        read_features(put(tmp_path / "none.h5", TRIDENT))


# --- writing ---------------------------------------------------------------------------------------------------------------------


def tiles_of(boxes, **options) -> TileCoordinates:
    facts = {"tile_px": 256, "spacing_um": 0.5, "overlap_px": 0.0, **options}
    return TileCoordinates(np.asarray(boxes, dtype=np.float64), "slide 7", "domainclip", **facts)


def test_trident_reads_exactly_the_boxes(tmp_path):
    # A slide of 0.2325 um/px: 128 um are 550.5 pixels there. TRIDENT calls it 40x and would read 512.
    boxes = [[0, 0, 550.5376, 550.5376], [550.5376, 0, 550.5376, 550.5376]]
    written = write_coordinates(tmp_path / "a.h5", tiles_of(boxes))
    assert written.size_px == 551 and written.rounding_px == pytest.approx(0.4624)
    with h5py.File(tmp_path / "a.h5") as file:
        coords = file["coords"]
        assert coords.dtype == np.int64 and coords[:].tolist() == [[0, 0], [551, 0]]
        # trident/wsi_objects/WSI.py, extract_patch_features, takes these three; WSIPatcher.py makes of them what it reads:
        patch, source, target = (coords.attrs[name] for name in ("patch_size", "level0_magnification", "target_magnification"))
        assert round(patch * ((10 / target) / (10 / source))) == 551
        assert (patch, target) == (256, 20) and source == pytest.approx(10 / 0.2325, rel=0.5 / 550)
        # Slide encoders (TITAN) take this one, TRIDENT's visualize_coords the overlap.
        assert coords.attrs["patch_size_level0"] == 551 and coords.attrs["overlap"] == 0
        assert coords.attrs["name"] == "slide 7" and "savetodir" not in coords.attrs
    back = read_coordinates(tmp_path / "a.h5")
    assert back.boxes.tolist() == [[0, 0, 551, 551], [551, 0, 551, 551]]
    assert (back.tile_px, back.spacing_um, back.overlap_px, back.slide) == (256, 0.5, 0, "slide 7")


def test_trident_gets_its_own_steps_where_the_scale_is_one(tmp_path):
    written = write_coordinates(tmp_path / "a.h5", tiles_of([[3, 4, 512, 512]]))
    assert (written.magnifications, written.rounding_px) == ((40.0, 20.0), 0.0)
    with h5py.File(tmp_path / "a.h5") as file:
        kinds = {name: np.asarray(file["coords"].attrs[name]).dtype.kind for name in TRIDENT if name in file["coords"].attrs}
    assert set(kinds.values()) == {"i", "U"} and kinds["level0_magnification"] == "i"


def test_clam_reads_exactly_the_boxes(tmp_path):
    features = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    write_features_h5(tmp_path / "a.h5", features, tiles_of([[3, 4, 413, 413], [9, 4, 413, 413]]), "clam")
    with h5py.File(tmp_path / "a.h5") as file:
        coords = file["coords"]
        # dataset_modules/dataset_h5.py, Whole_Slide_Bag_FP: read_region(coord, patch_level, (patch_size, patch_size)).
        assert (coords.attrs["patch_level"], coords.attrs["patch_size"]) == (0, 413)
        # wsi_core/wsi_utils.py, StitchCoords.
        assert coords.attrs["name"] == "slide 7"
        # extract_features_fp.py and the MIL loaders take these two.
        assert np.array_equal(file["features"][:], features) and coords[:].tolist() == [[3, 4], [9, 4]]
    back = read_features(tmp_path / "a.h5")
    assert back.coordinates.origin == "clam" and back.coordinates.boxes[0].tolist() == [3, 4, 413, 413]
    # CLAM reads level 0: 413 pixels of 256 * 0.5 / 413 um.
    assert back.coordinates.tile_px == 413 and back.coordinates.spacing_um * 413 == pytest.approx(128)


def test_what_the_formats_cannot_say_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    for boxes, word in (
        ([[0, 0, 512, 300]], "square"),
        ([[0, 0, 512, 512], [0, 0, 256, 256]], "one square side"),
        ([[0, 0, 512, -512]], "positive"),
        ([[0, np.nan, 512, 512]], "finite"),
        (np.zeros((0, 4)), "no tile"),
    ):
        with pytest.raises(UsageError, match=word):
            write_coordinates(path, tiles_of(boxes))
    with pytest.raises(UsageError, match="spacing_um"):
        write_coordinates(path, tiles_of([[0, 0, 9, 9]], spacing_um=None))
    with pytest.raises(UsageError, match="There are 1 tiles"):
        write_features_h5(path, np.ones((2, 3), np.float32), tiles_of([[0, 0, 9, 9]]))
    with pytest.raises(UsageError, match="clam"):
        write_coordinates(path, tiles_of([[0, 0, 9, 9]]), "clm")
    assert list(tmp_path.iterdir()) == []
    write_coordinates(path, tiles_of([[0, 0, 9, 9]]))
    with pytest.raises(UsageError, match="file of that name"):
        write_coordinates(path, tiles_of([[0, 0, 9, 9]]))
    write_coordinates(path, tiles_of([[0, 0, 8, 8]]), "clam", overwrite=True)
    assert read_coordinates(path).boxes[0, 2] == 8


def test_slides_are_cut_where_another_program_says(tmp_path):
    """TRIDENT's file, written here by h5py as TRIDENT lays it out, decides the tiles; pixels are the slide's own there."""
    import tifffile

    from domainclip.domains.base import domains
    from domainclip.domains.pathology.reading import PathologyReading
    from domainclip.errors import UnreadableFileError
    from domainclip.sample import SourceItem

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    slide = tmp_path / "a.tif"
    tifffile.imwrite(slide, image, tile=(128, 128), photometric="rgb", metadata=None, resolution=(4e4, 4e4),
                     resolutionunit="CENTIMETER")  # fmt: skip
    folder = tmp_path / "patches"
    folder.mkdir()
    corners = np.array([[17, 33], [400, 101], [544, 344]])

    def trident(path, coords):
        with h5py.File(path, "w") as file:
            data = file.create_dataset("coords", data=coords)
            for name, value in {"patch_size": 128, "patch_size_level0": 256, "level0_magnification": 40, "target_magnification": 20,
                                "overlap": 0, "name": "a"}.items():  # fmt: skip
                data.attrs[name] = value

    trident(folder / "a_patches.h5", corners)
    pathology = domains.get("pathology")
    reading = PathologyReading(coordinates=str(folder), tile_px=256, mode="tiles")
    samples = list(pathology.samples(SourceItem(slide, "a.tif"), reading))
    assert [[s.window.x, s.window.y] for s in samples] == corners.tolist()
    for sample, (x, y) in zip(samples, corners, strict=True):
        np.testing.assert_array_equal(sample.read().array.transpose(1, 2, 0), image[y : y + 256, x : x + 256])
        assert sample.spacing.values == pytest.approx((0.25, 0.25))
    half = PathologyReading(coordinates=str(folder), tile_px=128, mode="tiles")
    assert next(iter(pathology.samples(SourceItem(slide, "a.tif"), half))).spacing.values == pytest.approx((0.5, 0.5))
    trident(folder / "a_patches.h5", corners + 300)
    with pytest.raises(UnreadableFileError, match="another slide"):
        list(pathology.samples(SourceItem(slide, "a.tif"), reading))
    (folder / "a_patches.h5").unlink()
    with pytest.raises(UnreadableFileError, match="no file for this slide"):
        list(pathology.samples(SourceItem(slide, "a.tif"), reading))
