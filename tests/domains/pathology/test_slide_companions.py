"""Slides of several files: one slide each, companions counted, nothing opened twice; from a folder to a prepared set."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
from dicom_slides import JPEG, PLANTED, RLE, picture, write_dicom_slide
from PIL import Image

from domainclip.config import DataConfig
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import Gathering, domains, gathered_files
from domainclip.domains.pathology.companions import ELSEWHERE, NO_LEVEL
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError
from domainclip.identifiers import keyed_hash, owner_key

PATHOLOGY = domains.get("pathology")
VMS = "[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=s.jpg\nImageFile(1,0)=s(1,0).jpg\nMapFile=s_map2.jpg\n\
OptimisationFile=s.opt\nMacroImage=s_macro.jpg\nPatientName=../flat.png\n"


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def opened_of(folder):
    source = open_source(DataConfig(source=str(folder)), PATHOLOGY)
    return [item.name for item in source.items()], source.card["companions"], dict(source.rejections)


def write_vms(folder, index=VMS):
    folder.mkdir(parents=True)
    (folder / "s.vms").write_text(index, encoding="utf-8")
    (folder / "s.opt").write_bytes(b"\0" * 40)
    for number, name in enumerate(("s.jpg", "s(1,0).jpg", "s_map2.jpg", "s_macro.jpg")):
        Image.fromarray(picture(10 + number, 80, 100)).save(folder / name)
    Image.fromarray(picture(20, 80, 100)).save(folder / "own.jpg")


def test_two_series_in_a_folder_are_two_slides(tmp_path):
    # Names are chosen so that the finest level is not the first one.
    for prefix, seed in (("a", 1), ("b", 2)):
        for path in write_dicom_slide(tmp_path, picture(seed), 0.5, (1, 2, 4), tile=128, transfer_syntax=JPEG, prefix=prefix):
            path.rename(path.with_name(path.name.replace("level0", "z")))
    names, companions, rejected = opened_of(tmp_path)
    assert names == ["a_z.dcm", "b_z.dcm"]
    assert (companions, rejected) == (8, {})  # two levels, a label and an overview each


def test_the_order_of_the_files_does_not_matter(tmp_path):
    write_dicom_slide(tmp_path / "x", picture(1), 0.5, tile=128, parts=3)
    write_dicom_slide(tmp_path / "x", picture(2), 0.5, tile=128, prefix="other")
    write_vms(tmp_path / "vms")
    paths = files_of(tmp_path)
    seen = PATHOLOGY.gathered(paths)
    assert PATHOLOGY.gathered(paths[::-1]) == seen
    assert {path.name for path in seen.members} == {"slide_level0_part0.dcm", "other_level0.dcm", "s.vms"}


def test_a_series_over_two_folders_is_read_where_its_finest_level_lies(tmp_path):
    paths = write_dicom_slide(tmp_path / "b", picture(1), 0.5, (1, 2, 4), tile=128)
    (tmp_path / "a").mkdir()
    shutil.move(paths[1], tmp_path / "a" / paths[1].name)
    shutil.move(paths[3], tmp_path / "a" / paths[3].name)
    names, companions, rejected = opened_of(tmp_path)
    assert names == ["b/slide_level0.dcm"]
    assert rejected == {"a/slide_level1.dcm": ELSEWHERE}
    assert companions == 3  # the label over there is nobody's tissue


def test_a_second_copy_of_a_series_is_no_second_slide(tmp_path):
    write_dicom_slide(tmp_path / "a", picture(1), 0.5, tile=128)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.copy(tmp_path / "a" / "slide_level0.dcm", tmp_path / "a" / "slide_level0 (copy).dcm")
    names, _, rejected = opened_of(tmp_path)
    assert names == ["a/slide_level0 (copy).dcm"]  # equal files: the first name stands for both
    assert rejected == dict.fromkeys(("b/slide_level0.dcm", "b/slide_level1.dcm"), ELSEWHERE)
    assert list(PATHOLOGY.inspect(tmp_path / "a" / names[0].split("/")[1]).levels) == [(620, 500, 1.0), (155, 125, 4.0)]


def test_without_any_level_and_with_a_broken_one(tmp_path):
    write_dicom_slide(tmp_path, picture(1), 0.5, levels=(), prefix="lonely")
    paths = write_dicom_slide(tmp_path, picture(2), 0.5, tile=128, prefix="broken")
    paths[0].write_bytes(paths[0].read_bytes()[:700])
    names, companions, rejected = opened_of(tmp_path)
    assert rejected == dict.fromkeys(("lonely_label.dcm", "lonely_overview.dcm"), NO_LEVEL)
    assert names == ["broken_level0.dcm", "broken_level1.dcm"]  # the broken one is opened, and says what is wrong with it
    assert companions == 2


def test_files_that_a_vms_index_names_are_no_flat_pictures(tmp_path):
    write_vms(tmp_path / "vms")
    Image.fromarray(picture(3, 80, 100)).save(tmp_path / "flat.png")
    names, companions, _ = opened_of(tmp_path)
    assert names == ["flat.png", "vms/own.jpg", "vms/s.vms"]
    assert companions == 5


def test_a_text_that_only_calls_itself_vms_takes_nothing_with_it(tmp_path):
    write_vms(tmp_path / "vms", "ImageFile=s.jpg\n")
    names, _, rejected = opened_of(tmp_path)
    assert "vms/s.jpg" in names
    assert len(names) == 6
    assert list(rejected) == ["vms/s.opt"]


def test_the_data_of_a_mirax_slide_are_its_companions(tmp_path):
    (tmp_path / "one").mkdir()
    Image.fromarray(picture(3, 80, 100)).save(tmp_path / "one.mrxs", format="JPEG")
    for name in ("Slidedat.ini", "Index.dat", "Data0000.dat"):
        (tmp_path / "one" / name).write_bytes(b"\0")
    Image.fromarray(picture(4, 80, 100)).save(tmp_path / "one" / "stray.png")
    (tmp_path / "other.dat").write_bytes(b"\0")
    names, companions, rejected = opened_of(tmp_path)
    assert sorted(names) == ["one.mrxs", "one/stray.png"]
    assert (companions, list(rejected)) == (3, ["other.dat"])


def test_a_domain_without_the_hook_has_an_image_in_every_file(tmp_path):
    plain = SimpleNamespace(
        name="plain", facts=PATHOLOGY.facts, recognises=PATHOLOGY.recognises, reading_model=PATHOLOGY.reading_model
    )
    paths = write_dicom_slide(tmp_path, picture(1), 0.5, tile=128)
    assert gathered_files(plain, paths) == Gathering()
    assert len(open_source(DataConfig(source=str(tmp_path)), plain)) == 4


def test_files_of_a_slide_that_are_links_out_of_its_folder_are_not_followed(tmp_path):
    """A folder from elsewhere may hold links to files that nobody gave."""
    mine = write_dicom_slide(tmp_path / "mine", picture(1), 0.5, (1, 2), tile=128, transfer_syntax=JPEG)
    (tmp_path / "given").mkdir()
    shutil.copy(mine[0], tmp_path / "given" / "a.dcm")
    (tmp_path / "given" / "b.dcm").symlink_to(mine[1])
    assert opened_of(tmp_path / "given")[0] == ["a.dcm"]
    with pytest.raises(UnreadableFileError, match="symbolic link that leads out"):
        open_slide(tmp_path / "given" / "a.dcm")
    (tmp_path / "given" / "b.dcm").unlink()
    (tmp_path / "given" / "inside").mkdir()
    shutil.copy(mine[1], tmp_path / "given" / "inside" / "kept")
    (tmp_path / "given" / "b.dcm").symlink_to("inside/kept")
    assert len(open_slide(tmp_path / "given" / "a.dcm").facts.levels) == 2  # a link that stays inside
    links = tmp_path / "links"
    links.mkdir()
    for path in mine:
        (links / path.name).symlink_to(path)
    assert len(open_slide(links / mine[0].name).facts.levels) == 2  # a slide that its owner names by a link, in a manifest


@pytest.mark.parametrize("kind", ["vms", "mrxs", "mrxs folder"])
def test_companions_that_are_links_out_of_the_folder_are_not_opened(tmp_path, kind):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.jpg").write_bytes(b"x")
    if kind == "vms":
        write_vms(tmp_path / "given")
        (tmp_path / "given" / "s.jpg").unlink()
        (tmp_path / "given" / "s.jpg").symlink_to(tmp_path / "secret" / "s.jpg")
        path = tmp_path / "given" / "s.vms"
    else:
        path = tmp_path / "given" / "s.mrxs"
        path.parent.mkdir()
        Image.fromarray(picture(3, 80, 100)).save(path, format="JPEG")
        if kind == "mrxs folder":
            path.with_suffix("").symlink_to(tmp_path / "secret")
        else:
            path.with_suffix("").mkdir()
            (path.with_suffix("") / "Data0000.dat").symlink_to(tmp_path / "secret" / "s.jpg")
    with pytest.raises(UnreadableFileError, match="symbolic link that leads out"):
        open_slide(path)


@pytest.mark.parametrize("name", ["../secret/s.jpg", "sub/s.jpg", "..\\secret\\s.jpg", "/etc/hosts", ".."])
@pytest.mark.parametrize("key", ["ImageFile", "ImageFile(1,0)", "MapFile", "MacroImage", "OptimisationFile"])
def test_an_index_that_names_files_by_a_path_is_refused(tmp_path, key, name):
    """OpenSlide joins the folder and the name, and would read it."""
    write_vms(tmp_path / "given", f"[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=s.jpg\nMapFile=s_map2.jpg\n{key}={name}\n")
    with pytest.raises(UnreadableFileError, match="names files of it by a path") as caught:
        open_slide(tmp_path / "given" / "s.vms")
    assert name not in str(caught.value)


def test_a_mirax_index_that_names_files_by_a_path_is_refused(tmp_path):
    Image.fromarray(picture(3, 80, 100)).save(tmp_path / "s.mrxs", format="JPEG")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "Slidedat.ini").write_text("[GENERAL]\n[DATAFILE]\nFILE_COUNT=1\nFILE_0=../secret.dat\n")
    with pytest.raises(UnreadableFileError, match="names files of it by a path"):
        open_slide(tmp_path / "s.mrxs")
    (tmp_path / "s" / "Slidedat.ini").write_text("[DATAFILE]\nFILE_COUNT=1\nFILE_0=Data0000.dat\n")
    with pytest.raises(UnreadableFileError, match=r"OpenSlide|no slide"):
        open_slide(tmp_path / "s.mrxs")  # no slide either, but not for its names


@pytest.fixture
def mixed(tmp_path):
    folder = tmp_path / "Zeppelin Quirina"
    write_dicom_slide(folder / "dicom", picture(1), 0.5, tile=128, transfer_syntax=JPEG, prefix="a")
    write_dicom_slide(folder / "dicom", picture(2), 0.5, tile=128, transfer_syntax=RLE, prefix="b")
    cut = write_dicom_slide(folder / "cut", picture(3), 0.5, levels=(1,), tile=128, prefix="c", associated=())[0]
    cut.write_bytes(cut.read_bytes()[:-5000])
    Image.fromarray(picture(4, 80, 100)).save(folder / "flat.png")
    write_vms(folder / "vms", "[Virtual Microscope Specimen]\nImageFile=s.jpg\nMacroImage=s_macro.jpg\n")
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_of_all_kinds_is_prepared(tmp_path, mixed, workers):
    source = open_source(DataConfig(source=str(mixed)), PATHOLOGY)
    prepared = prepare(
        source, PATHOLOGY, tmp_path / "set", workers=workers,
        reading={"tile_um": 60, "tile_px": 60, "min_tissue": 0.0},
    )  # fmt: skip
    key = owner_key()
    groups = prepared.index.groupby("group").size().to_dict()
    slides = {keyed_hash(name, key): 5 * 4 for name in ("dicom/a_level0.dcm", "dicom/b_level0.dcm")}
    pictures = ("flat.png", "vms/own.jpg", "vms/s(1,0).jpg", "vms/s_map2.jpg")
    assert groups == slides | {keyed_hash(name, key): 1 for name in pictures}
    rejected = [json.loads(line) for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    reasons = {line["key"]: line["reason"] for line in rejected}
    assert set(reasons) == {keyed_hash(name, key) for name in ("cut/c_level0.dcm", "vms/s.vms", "vms/s.opt")}
    assert "ends before its last frame" in reasons[keyed_hash("cut/c_level0.dcm", key)]
    assert json.loads((tmp_path / "set" / "dataset.json").read_text())["companions"] == 3 + 3 + 2
    said = b"".join(path.read_bytes() for path in files_of(tmp_path / "set"))
    assert not [word for word in (*PLANTED, "a_level0", str(tmp_path)) if word.encode() in said]
