"""Fifty mutants of each format without a defect, and the harness itself: its seeds, its mutants, its verdicts, its limits."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fuzz_forks import Ended, forked
from fuzz_image_readings import Plate
from fuzz_image_rules import CONTRADICTIONS, POLICY, judge_image
from fuzz_images import IMAGES
from fuzz_mutants import mutant
from fuzz_readings import NODATA, READ, REFUSED, Canvas
from fuzz_rules import judge
from fuzz_scene_readings import Ground
from fuzz_scene_rules import judge_scene
from fuzz_scenes import SCENES, ground
from fuzz_seeds import seed_bytes, texture
from run import ALL, Bench, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and their limits are Linux's")
DOE = Path("folder_of_slides/Doe_Jane.tif")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_fifty_mutants_have_no_defect(bench, kind):
    report = run(kind, range(-1, 50), bench)
    assert sum(report.outcomes.values()) == 51
    assert report.outcomes["equal"] >= 5, "hardly anything is read: the seed or the harness is broken"
    found = [f"{line['number']} [{line['made by']}] {line['outcome']}: {line['detail']}" for line in report.defects]
    assert not found, "\n".join([f"python tests/fuzz/run.py --format {kind} --only NUMBER shows one", *found])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_seeds_are_read_as_the_reference_reads_them(bench, kind):
    report = run(kind, [-1], bench)
    assert report.outcomes == {"equal": 1}, report.defects
    assert not report.blank_as_said


def test_mutants_are_a_function_of_format_and_number():
    for kind in ALL:
        made = [mutant(kind, number)[0] for number in range(30)]
        assert made == [mutant(kind, number)[0] for number in range(30)]
        assert len(set(made)) >= 29  # two may be the same bomb


def test_the_texture_has_no_block_of_one_colour():
    image = texture(noise=1).reshape(20, 16, 24, 16, 3)
    assert (image.max(axis=(1, 3)) != image.min(axis=(1, 3))).any(axis=2).all()


def test_a_fork_answers_for_crash_hang_memory_and_exception():
    assert forked(lambda: {"value": 7}).answer == {"value": 7}
    assert forked(lambda: os.abort()).trace.startswith("signal 6")
    began = time.monotonic()
    assert forked(lambda: time.sleep(60), seconds=0.5).how == "hang"
    assert time.monotonic() - began < 5
    assert forked(lambda: {"sum": int(np.ones(2**32, np.uint8).sum())}, memory_bytes=2**27).how == "memory"
    assert "ZeroDivisionError" in forked(lambda: {"value": 1 // 0}).trace


def canvas(state=READ):
    one = Canvas()
    one.put(0, 0, texture(128, 64), state)
    return one


def ended(size=(128, 64), refusals=None, **more):
    answer = {"size": list(size), "recognised": True, "refusals": refusals or {}, "uneven": 0, "whole": True}
    return Ended("answered", answer | more)


def verdict(mine, theirs, ours=None, reference=None, misread=None):
    return judge(DOE, ours or ended(), mine, reference or ended(), theirs, misread)


def test_verdicts_of_equal_other_and_refused_pixels():
    assert verdict(canvas(), canvas()).outcome == "equal"
    other = canvas()
    other.colour[5, 5, 0] ^= 1
    assert verdict(other, canvas()).outcome == "differs"
    assert verdict(canvas(), canvas(), ended(size=(64, 64))).outcome == "differs"
    assert verdict(canvas(REFUSED), canvas()).outcome == "refused by us"
    assert verdict(canvas(REFUSED), canvas(), misread="16 bits").outcome == "refused, misread"
    assert verdict(canvas(REFUSED), canvas(REFUSED), reference=ended(whole=False)).outcome == "refused both"
    assert verdict(canvas(), canvas(REFUSED), reference=ended(whole=False)).outcome == "accepted by us"
    assert verdict(canvas(), canvas(), ended(recognised=False)).outcome == "refused by us"


def test_verdicts_of_blank_blocks():
    white = canvas()
    white.colour[0:32, 32:64] = 255
    assert verdict(white, canvas(REFUSED), reference=ended(whole=False)).outcome == "silently blank"
    hole = canvas()
    hole.state[0:64, 0:64] = NODATA
    assert verdict(white, hole).outcome == "silently blank"
    told = canvas()
    told.colour[0:32, 32:64] = 255
    told.state[0:32, 32:64] = NODATA
    assert verdict(told, hole).outcome == "accepted by us"
    same = verdict(white, white)
    assert (same.outcome, same.blank_as_said) == ("equal", True)


def test_verdicts_of_refusals_and_ends():
    both = (canvas(REFUSED), canvas(REFUSED))
    for three in (["", "found", "do"], ["asked", "Doe_Jane.tif is broken", "do"], ["asked", "in folder_of_slides", "do"]):
        assert verdict(*both, ended(refusals={"open": three})).outcome == "unclear"
    assert verdict(*both, Ended("hang")).defect
    assert verdict(*both, Ended("escaped")).defect
    assert verdict(*both, Ended("killed"), ended(whole=False)).defect is False
    assert verdict(canvas(), canvas(), Ended("killed")).defect is True


HEADER = {
    "damaged": [], "tables": [], "groups": None, "bytes": 0, "PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1,
    "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "BurnedInAnnotation": "NO", "WindowCenter": "1", "WindowWidth": "2",
    "VOILUTFunction": "LINEAR", "NumberOfFrames": "9", "codestream": [0, 0, 1, 12], "syntax": "1.2.840.10008.1.2.1",
}  # fmt: skip
"""None of the listed reasons but two holds of it."""


def plates():
    mine, theirs = Plate(), Plate()
    numbers = np.random.default_rng(1).integers(0, 4096, (16, 16), np.uint16)
    answers = []
    for plate in (mine, theirs):
        kept = plate.put(plate.stored, numbers)
        answers.append({"stored": kept, "shown": plate.put(plate.shown, numbers[..., None] / 4095)})
    return mine, theirs, *answers


def image_verdict(mine, theirs, ours, reference, refusal=None, **more):
    answer = {"recognised": True, "refusals": {"read": refusal} if refusal else {}, "leaks": []} | more
    if not refusal:
        answer |= ours
    facts = {"facts": {"damaged": [], "tables": [], "groups": None, "syntax": "", "bytes": 0}, "error": ""}
    return judge_image("ct", DOE, Ended("answered", answer), mine, Ended("answered", facts | reference), theirs)


def test_verdicts_of_images():
    mine, theirs, ours, reference = plates()
    assert image_verdict(mine, theirs, ours, reference).outcome == "equal"
    mine.shown[7] += 1e-6
    assert image_verdict(mine, theirs, ours, reference).outcome == "differs"
    mine.missing[7] = 1
    assert image_verdict(mine, theirs, ours, reference).outcome == "equal"
    other = ours | {"stored": ours["stored"] | {"sha256": "0"}}
    assert image_verdict(mine, theirs, other, reference).outcome == "differs"
    assert image_verdict(mine, theirs, ours, {"error": "fails"}).outcome == "accepted by us"
    mine.stored[:256] = 7
    assert image_verdict(mine, theirs, ours, {"error": "fails"}).outcome == "silently blank"
    assert image_verdict(mine, theirs, ours, reference, leaks=["Brightwater"]).outcome == "leaks"


def test_verdicts_of_refused_images():
    mine, theirs, ours, reference = plates()
    refusals = [("It failed.", "refused by us"), *((words, "refused by us") for words in (*POLICY, *CONTRADICTIONS))]
    for found, outcome in refusals:
        known = reference | {"facts": HEADER}
        if found in {"It has several frames", "Its photometric interpretation is"}:
            continue  # they hold of this header
        assert image_verdict(mine, theirs, ours, known, ["asked", found, "do"]).outcome == outcome, found
    burnt = reference | {"facts": {"BurnedInAnnotation": "YES"}}
    words = "Its header says that words are burnt into the picture."
    assert image_verdict(mine, theirs, ours, burnt, ["asked", words, "do"]).outcome == "refused by policy"
    assert image_verdict(mine, theirs, ours, {"error": "fails"}, ["asked", "found", "do"]).outcome == "refused both"
    assert image_verdict(mine, theirs, ours, reference, ["asked", "of Cordelia", "do"]).outcome == "unclear"


def test_the_images_have_no_block_of_one_number():
    import io

    import pydicom

    for kind in IMAGES:
        if kind != "cr":  # pydicom has no decoder of lossless JPEG without GPL
            stored = pydicom.dcmread(io.BytesIO(seed_bytes(kind)[0])).pixel_array
            planes = np.moveaxis(stored, -1, 0) if kind == "colour" else stored.reshape(-1, 80, 96)
            blocks = planes.reshape(-1, 10, 8, 12, 8)
            assert (blocks.max(axis=(2, 4)) != blocks.min(axis=(2, 4))).all(), kind


SCENE = {
    "driver": "GTiff", "size": [64, 64], "bytes": 9000, "dtypes": ["uint16"], "names": ["B04"], "colours": ["gray"], "crs": None,
    "scales": [(1.0, 0.0)], "block": [64, 64], "affine": [10.0, 0.0, 5.0, 0.0, -10.0, 7.0], "tags": [], "further": "",
}  # fmt: skip


def scene_verdict(mine, theirs, sure, whole=True, refusal=None, place=(5.0, 7.0), epsg=32736, **facts):
    from rasterio.crs import CRS

    said = {"samples": ["asked", refusal, "do"]} if refusal else {}
    here = [[0, 0, None, [10.0, 0.0, place[0], 0.0, -10.0, place[1]]]]
    answer = {"recognised": True, "refusals": said, "ground": [] if refusal else here}
    known = {"whole": whole, "facts": SCENE | {"crs": CRS.from_epsg(epsg).to_wkt()} | facts, "error": ""}
    answer["ground"] = [[x, y, "EPSG:32736", affine] for x, y, _, affine in answer["ground"]]
    return judge_scene("jp2", DOE, Ended("answered", answer), mine, Ended("answered", known), theirs, Ended("answered"), sure)


def grounds():
    three = Ground(), Ground(), Ground()
    for one in three:
        one.put(0, 0, ground(1, 12, 5)[:, :64, :64], READ)
    return three


def test_verdicts_of_scenes():
    mine, theirs, sure = grounds()
    assert scene_verdict(mine, theirs, sure).outcome == "equal"
    assert scene_verdict(mine, theirs, sure, place=(6.0, 7.0)).outcome == "differs"
    assert scene_verdict(mine, theirs, sure, epsg=4326).outcome == "differs"
    mine.numbers[0, 5, 5] += 1
    assert scene_verdict(mine, theirs, sure).outcome == "differs"
    mine.state[0, 5, 5] = NODATA
    assert scene_verdict(mine, theirs, sure).outcome == "differs", "hidden"
    theirs.state[0, 5, 5] = NODATA
    assert scene_verdict(mine, theirs, sure).outcome == "equal"
    mine.state[0, 5, 5] = READ
    assert scene_verdict(mine, theirs, sure).outcome == "differs", "shown"
    mine, theirs, sure = grounds()
    for one in (mine, theirs):
        one.numbers[0, :32, :32] = 0
    sure.state[0, :32, :32] = 0
    assert scene_verdict(mine, theirs, sure).outcome == "silently blank", "GDAL made it up"
    assert scene_verdict(mine, theirs, sure, whole=False).outcome == "silently blank"
    mine.state[0, :32, :32] = NODATA
    assert scene_verdict(mine, theirs, sure).outcome == "accepted by us"
    mine.state[0, :32, :32] = REFUSED
    assert scene_verdict(mine, theirs, sure).outcome == "accepted by us"
    mine.state[0, 40:] = REFUSED
    assert scene_verdict(mine, theirs, sure).outcome == "refused by us"


def test_verdicts_of_refused_scenes():
    mine, theirs, sure = grounds()
    mine.clear()
    assert scene_verdict(mine, theirs, sure, refusal="It failed.").outcome == "refused by us"
    assert scene_verdict(mine, theirs, sure, refusal="It failed.", whole=False).outcome == "refused both"
    assert scene_verdict(mine, theirs, sure, refusal="of Doe_Jane").outcome == "unclear"
    words = "It holds complex numbers"
    assert scene_verdict(mine, theirs, sure, refusal=words).outcome == "refused by us"
    assert scene_verdict(mine, theirs, sure, refusal=words, dtypes=["complex64"]).outcome == "refused by policy"
    sure.state[0, 0, 0] = 0
    assert scene_verdict(mine, theirs, sure, refusal="It failed.").outcome == "refused, misread"


def test_the_scenes_have_no_block_of_one_number():
    import rasterio

    for kind in SCENES:
        with rasterio.MemoryFile(seed_bytes(kind)[0]) as memory, memory.open() as file:
            blocks = np.nan_to_num(file.read(), nan=-1).reshape(file.count, 7, 16, 8, 16)
        assert (blocks.max(axis=(2, 4)) != blocks.min(axis=(2, 4))).all(), kind
