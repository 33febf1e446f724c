"""Volumes and time series: features of slices pooled, indexes that lead back to the slice, its file and its frame."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError, UsageError
from domainclip.heads.embed import embed
from domainclip.heads.feature_table import read_features, read_slices
from domainclip.heads.retrieval import Retriever, slice_place
from domainclip.sample import Pixels, Sample, Values

sys.path.insert(0, str(Path(__file__).parents[1] / "domains" / "radiology"))
from made_series import write_cine, write_ct

VOLUME = {"axes": "CZYX", "output": "display"}


@pytest.fixture(scope="module")
def model(make_model, tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("grey") / "model", domain="radiology", channels=("MONOCHROME2",), kind="display")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three CT series of 6, 9 and 4 slices and a cine of 7 frames, each slice with a pattern of its own."""
    root = tmp_path_factory.mktemp("studies")
    for number, count in enumerate((6, 9, 4)):
        write_ct(root / f"patient{number}", count, seed=number)
    return root


@pytest.fixture(scope="module")
def indexed(model, folder, tmp_path_factory):
    """An index and the owner's folder that it was made with."""
    target, home = tmp_path_factory.mktemp("index") / "index", tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOMAINCLIP_HOME", str(home))
        Retriever(model).fit(folder, reading=VOLUME).save(target)
    return target, home


@pytest.fixture
def index(indexed, monkeypatch):
    monkeypatch.setenv("DOMAINCLIP_HOME", str(indexed[1]))
    return indexed[0]


def slices_of(model, folder, series):
    """(K, D) features of each slice, each file read as a picture of its own, in the order of place."""
    import pydicom

    files = sorted((folder / f"patient{series}").iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    return files, model.encode_image(files, reading={"axes": "CYX", "output": "display"})


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_volume_is_the_mean_of_its_slices(model, folder):
    # Every file has the same window, so a slice of the volume is the picture that its file shows.
    _, slices = slices_of(model, folder, 1)
    whole = model.encode_image(folder / "patient1", reading=VOLUME)
    assert whole.shape == (1, 16)
    assert whole[0] == pytest.approx(unit(slices.mean(axis=0)), abs=2e-5)
    largest = model.encode_image(folder / "patient1", reading=VOLUME, pooling="max")
    assert largest[0] == pytest.approx(unit(slices.max(axis=0)), abs=2e-5)


def test_a_folder_of_several_images_is_refused(model, folder):
    with pytest.raises(UsageError, match="a folder, of 3 images") as refused:
        model.encode_image(folder, reading=VOLUME)
    assert "CZYX" in refused.value.remedy
    with pytest.raises(UsageError, match="a folder, of 6 images"):
        model.encode_image(folder / "patient0")


def test_embedded_slices_are_those_of_the_files(model, folder, tmp_path):
    for pooling in ("mean", "max"):
        facts = embed(model, folder, tmp_path / pooling, reading=VOLUME, pooling=pooling)
        assert (facts["count"], facts["pooling"]) == (3, pooling)
        features, table, _ = read_features(tmp_path / pooling, "embed")
        slices = read_slices(tmp_path / pooling, table)
        assert slices.shape == (6 + 9 + 4, 16)
        for _, row in table.iterrows():
            series = {6: 0, 9: 1, 4: 2}[row["slices"]]
            part = slices[row["slices_at"] : row["slices_at"] + row["slices"]]
            assert part == pytest.approx(slices_of(model, folder, series)[1], abs=2e-5)
            pooled = part.mean(axis=0) if pooling == "mean" else part.max(axis=0)
            assert features[_] == pytest.approx(unit(pooled), abs=1e-6)


def test_a_search_leads_back_to_the_slice_and_its_file(model, folder, index):
    retriever = Retriever.load(index, model)
    for series in range(3):
        files, slices = slices_of(model, folder, series)
        for number, path in enumerate(files):
            (best,) = retriever.search(path_as_picture(model, path), k=1, by="slice")
            assert (best.path, best.slice, best.slices, best.axis) == (str(path), number, len(files), "Z")
            assert best.slice_score == pytest.approx(1.0, abs=1e-4)
    text = retriever.search("red glands", k=3)
    query = model.encode_text("red glands")[0]
    for hit in text:
        series = int(Path(hit.path).parent.name[-1])
        files, slices = slices_of(model, folder, series)
        assert hit.score == pytest.approx(float(unit(slices.mean(axis=0)) @ query), abs=1e-4)
        assert hit.slice == int((slices @ query).argmax())
        assert hit.path == str(files[hit.slice])
    assert [hit.score for hit in text] == sorted((hit.score for hit in text), reverse=True)


def path_as_picture(model, path):
    from domainclip.heads.inputs import open_image

    image = open_image(path, model.record, {"axes": "CYX", "output": "display"})
    return Sample("query", "CYX", image.channels, image.values, lambda: image.pixels)


def test_a_prepared_set_gives_the_same_index(model, folder, index, tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    source = open_dataset(folder, domain="radiology", reading=VOLUME)
    prepared = prepare(source, domains.get("radiology"), tmp_path / "set", reading=VOLUME, workers=1)
    assert list(prepared.index["depth"]) == [6, 9, 4]
    assert set(prepared.index["axes"]) == {"CZYX"}
    of_set, of_files = Retriever(model).fit(prepared), Retriever.load(index, model)
    theirs = of_files.search("red glands", k=3)
    for mine, other in zip(of_set.search("red glands", k=3), theirs, strict=True):
        assert (mine.path, mine.slice, mine.key) == (other.path, other.slice, other.key)
        assert mine.score == pytest.approx(other.score, abs=1e-3)  # 16-bit steps


def test_frames_of_a_cine(model, tmp_path):
    write_cine(tmp_path / "cines" / "a.dcm", 7)
    retriever = Retriever(model).fit(tmp_path / "cines", reading={"axes": "TCYX"})
    (hit,) = retriever.search("red glands", k=1)
    assert (hit.axis, hit.slices) == ("T", 7)
    assert hit.frame == hit.slice
    assert hit.path == str(tmp_path / "cines" / "a.dcm")


def test_a_query_is_read_as_the_index_was(model, folder):
    window = {"axes": "CYX", "output": "display", "window": [1000.0, 300.0]}
    retriever = Retriever(model).fit(folder / "patient2", reading=window)
    path = sorted((folder / "patient2").iterdir())[0]
    (hit,) = retriever.search(path, k=1)
    assert (hit.path, hit.score) == (str(path), pytest.approx(1.0, abs=1e-5))
    (other,) = retriever.search(path, k=1, reading={"window": [0.0, 100.0]})
    assert other.score < 0.9999


def test_volumes_are_searched_for_by_volumes_and_by_pictures(model, folder, index):
    retriever = Retriever.load(index, model)
    (hit,) = retriever.search(folder / "patient1", k=1)
    assert Path(hit.path).parent == folder / "patient1"
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    path = sorted((folder / "patient1").iterdir())[3]
    with pytest.raises(UnreadableFileError, match="one slice"):
        retriever.search(path, k=1)
    (hit,) = retriever.search(path, k=1, by="slice", reading={"axes": "CYX"})
    assert (hit.path, hit.slice_score) == (str(path), pytest.approx(1.0, abs=1e-4))


def test_a_slice_of_a_nifti_file_is_named_by_its_number_there(model, tmp_path):
    import nibabel

    numbers = np.random.default_rng(0).random((12, 12, 6)).astype(np.float32)
    affine = np.diag([-1.0, -1.0, -4.0, 1.0])  # the file's slices lead to the feet, ours to the head
    image = nibabel.Nifti1Image(numbers, affine)
    image.header["cal_max"] = 1.0  # shown from 0 to 1
    nibabel.save(image, tmp_path / "a.nii")
    retriever = Retriever(model).fit(tmp_path / "a.nii", reading={"axes": "CZYX"})
    for number in range(6):
        shown = numbers[:, :, number].T[None]
        query = Sample("q", "CYX", ("MONOCHROME2",), Values("display"), lambda shown=shown: Pixels(shown))
        (hit,) = retriever.search(query, k=1, by="slice")
        assert (hit.frame, hit.slice) == (number, 5 - number)


def test_slices_of_pictures_cannot_be_searched(model, folder):
    retriever = Retriever(model).fit(folder / "patient2")
    with pytest.raises(UsageError, match="pictures only"):
        retriever.search("red", by="slice")
    (hit, *_) = retriever.search("red")
    assert hit.slice is None


def test_a_slice_knows_its_file_after_resampling():
    files = ["c", "a", "b", "d"]
    assert slice_place(files, {"slice_files": [2, 0, 3, 1]}, 1) == ("c", None)
    # Slices of 1.5 mm made of slices of 3 mm: the fifth lies at 6 mm, the third file.
    origin = {"slice_files": [2, 0, 3, 1], "slice_step": 0.5}
    assert slice_place(files, origin, 4) == ("d", None)
    assert slice_place(files, origin, 9) == ("a", None)
    assert slice_place(["one"], {"slice_frames": [4, 1, 0]}, 1) == ("one", 1)
    assert slice_place([], {"slice_files": [0, 1]}, 1) == (None, None)


def test_damaged_slices_are_refused(model, index, tmp_path):
    import shutil

    for number, damage in enumerate((b"", b"\x93NUMPY", None)):
        copy = tmp_path / str(number)
        shutil.copytree(index, copy)
        if damage is None:
            np.save(copy / "slices.npy", np.zeros((5, 16), np.float32))
        else:
            (copy / "slices.npy").write_bytes(damage)
        with pytest.raises(UsageError, match=r"slices\.npy"):
            Retriever.load(copy, model)


def test_arrays_of_a_volume_are_samples(model):
    volume = np.random.default_rng(0).random((1, 5, 20, 20)).astype(np.float32)
    sample = Sample("a", "CZYX", ("MONOCHROME2",), Values("display"), lambda: Pixels(volume))
    pictures = [Sample("b", "CYX", ("MONOCHROME2",), Values("display"), lambda n=n: Pixels(volume[:, n])) for n in range(5)]
    assert model.encode_image(sample)[0] == pytest.approx(unit(model.encode_image(pictures).mean(axis=0)), abs=1e-6)


def test_nothing_of_an_index_names_a_patient(index):
    for path in index.iterdir():
        assert b"PID-7734519" not in path.read_bytes()
        assert b"patient0" not in path.read_bytes()
    assert json.loads((index / "index.json").read_text())["pooling"] == "mean"
