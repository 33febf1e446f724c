"""Look-alikes of published sets by the peers' own loaders and by ours: the same images, labels and splits.

The peers read in an environment of their own (peer_loaders.py). Where one gives something else by a rule or a defect of its own,
the test says what. Without a class in the versions held here: fmow (torchgeo has one from 0.11 on).
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from lookalikes.kit import makers, plain
from lookalikes.radiology_classes import CHEST, MNIST
from lookalikes.reading import levels, read_all
from lookalikes.remote_sensing_bands import CHIPS, digital_number

pytestmark = pytest.mark.peers
SPLITS = {"train": "train", "val": "val", "test": "held_out", None: None}
VALUES = {"present": 1.0, "absent": 0.0, "uncertain": None}
ALL = {"views": ["*"], "unique_patients": False}
"""What keeps torchxrayvision from leaving out all views but one and all images of a patient but one."""


@dataclass(frozen=True)
class Facts:
    """What is said of one image: labels (named values, or what a peer gives), part of the published split, texts."""

    labels: object
    split: str | None
    captions: tuple[str, ...] | None


@dataclass(frozen=True)
class Held:
    """A look-alike as read by a peer, each image by the number of its picture.

    Attributes:
        peer: What the peer gives of each image.
        lost: Error of each image that it lists and cannot read.
        sides: The same by the look-alike itself (``right``) and by our reader (``ours``).
    """

    peer: dict[int, Facts]
    lost: list[str]
    sides: dict[str, dict[int, Facts]]

    def classes(self):
        """The peer's classes in its own order, which is that of every image."""
        (names,) = {tuple(facts.labels) for facts in self.peer.values()}
        return names


def number_of(level, channels, numbers):
    """Which of the pictures this one is; exactly one fits."""
    level = np.asarray(level)
    if len(level) > 3:
        fits = [one for one in numbers if list(level) == [digital_number(one, band) for band in channels]]
    elif len(level) == 3:
        fits = [one for one in numbers if np.abs(level - plain(one)[0, 0]).max() < 5]
    else:
        fits = [one for one in numbers if abs(level[0] - plain(one, channels=1)[0, 0]) < 1.4]
    assert len(fits) == 1, level
    return fits[0]


@pytest.fixture(autouse=True)
def python():
    found = os.environ.get("DOMAINCLIP_PEERS_PYTHON")
    if not found:
        pytest.skip("DOMAINCLIP_PEERS_PYTHON names no interpreter with the peers")
    return found


def by_peer(name, root, options):
    job = json.dumps({"name": name, "root": str(root), "options": options})
    command = [os.environ["DOMAINCLIP_PEERS_PYTHON"], str(Path(__file__).with_name("peer_loaders.py")), job]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, list), answer
    return answer


def held(tmp_path, name, *jobs, reader=None, below=""):
    """Makes the look-alike; reads it by the peer, once for each job (its options, and ``split`` where it tells none)."""
    root, scratch = tmp_path / "root" / below, tmp_path / "scratch"
    root.mkdir(parents=True)
    scratch.mkdir()
    right = makers[name](root)
    numbers = [one.colour for one in right.images]
    assert len(set(numbers)) == len(numbers)
    peer, lost = {}, []
    for job in jobs or ({},):
        for one in by_peer(reader or name, tmp_path / "root", {key: value for key, value in job.items() if key != "split"}):
            if "error" in one:
                lost.append(one["error"].split(":")[0])
                continue
            number = number_of(one["colour"], one.get("channels"), numbers)
            assert number not in peer
            split = SPLITS[job.get("split", one["split"])]
            peer[number] = Facts(one.get("labels"), split, (one["caption"],) if "caption" in one else None)
    ours = {}
    for sample in read_all(name, root, scratch, right.options)[1]:
        try:
            array = sample.read().array
        except Exception as error:  # an image that is not there is told as it is read
            assert type(error).__name__ == "UnreadableFileError"
            continue
        texts = tuple(dict.fromkeys(caption.text for caption in sample.captions))
        ours[number_of(levels(array), sample.channels, numbers)] = Facts(sample.labels, sample.split, texts)
    said = {one.colour: Facts(one.labels, one.split, one.captions) for one in right.images}
    assert set(ours) == set(said)
    return Held(peer, lost, {"right": said, "ours": ours})


def named(name):
    return name.lower().replace(" ", "_")


def stated(classes, facts, blank=0.0, **renamed):
    """The peer's classes with the values that the labels give; ``blank`` for what is not named, None for what is uncertain."""
    return {one: VALUES.get(facts.labels.get(renamed.get(one, named(one))), blank) for one in classes}


def check_labels(result, rule, left_out=()):
    """The peer gives the images but those that its rule leaves out, each with what its rule makes of the labels of both sides."""
    given = {number: facts.labels for number, facts in result.peer.items()}
    for side, images in result.sides.items():
        assert given == {number: rule(facts) for number, facts in images.items() if number not in left_out}, side


def check_splits(result):
    given = {number: facts.split for number, facts in result.peer.items()}
    for side, images in result.sides.items():
        assert given == {number: images[number].split for number in given}, side


def check_no_splits(result):
    assert {facts.split for facts in result.peer.values()} == {None}


def test_eurosat_ms(tmp_path):
    result = held(tmp_path, "eurosat-ms")
    check_labels(result, lambda facts: facts.labels["land_cover"])
    # The peer's split is that of the text files, a third party's; the look-alike and ours tell none. It passes over a listed chip
    # that is not there without a word.
    assert {number: facts.split for number, facts in result.peer.items()} == {n: SPLITS[chip[1]] for n, chip in enumerate(CHIPS)}
    assert result.lost == []


@pytest.mark.parametrize(("name", "count", "more"), [("bigearthnet", 19, {"country"}), ("bigearthnet+v1", 43, set())])
def test_bigearthnet(tmp_path, name, count, more):
    result = held(tmp_path, name)
    classes = result.classes()
    assert len(classes) == count
    for facts in result.sides["ours"].values():
        assert {named(one) for one in classes} == set(facts.labels) - more
    check_labels(result, lambda facts: stated(classes, facts))
    check_splits(result)
    assert result.lost == ["ValueError"]  # the row without a patch: no band to stack


def test_million_aid(tmp_path):
    result = held(tmp_path, "million-aid")
    check_labels(result, lambda facts: [facts.labels["land_cover"]])
    check_splits(result)


def test_million_aid_branches(tmp_path):
    result = held(tmp_path, "million-aid", {"task": "multi-label"})
    # The peer has a label for each folder on the way; ours the branch and the class. The look-alike says the class alone.
    ends = {number: (facts.labels[0], facts.labels[-1]) for number, facts in result.peer.items()}
    assert ends == {n: (facts.labels["branch"], facts.labels["land_cover"]) for n, facts in result.sides["ours"].items()}
    assert {n: last for n, (_, last) in ends.items()} == {n: one.labels["land_cover"] for n, one in result.sides["right"].items()}
    assert {len(facts.labels) for facts in result.peer.values()} == {2, 3}


def test_skyscript(tmp_path):
    result = held(tmp_path, "skyscript")
    for images in result.sides.values():
        # The peer reads the second column alone; title_multi_objects is a further text of the image with us.
        assert {n: facts.captions for n, facts in result.peer.items()} == {n: facts.captions[:1] for n, facts in images.items()}
    check_splits(result)
    assert result.lost == ["FileNotFoundError"]  # images5, which is not unpacked


def test_skyscript_polished(tmp_path):
    table = "SkyScript_train_top30pct_filtered_by_CLIP_laion_RS_language_polished.csv"
    result = held(tmp_path, "skyscript+polished", {"captions": {"train": table}}, reader="skyscript")
    for images in result.sides.values():
        # Of the second column this table has title_raw, without the first sentence: the peer takes columns by their place.
        raw = {n: (facts.captions[0].split("It shows: ")[1],) for n, facts in images.items()}
        assert {n: facts.captions for n, facts in result.peer.items()} == raw
    check_splits(result)
    assert result.lost == ["FileNotFoundError"]


def test_patch_camelyon(tmp_path):
    result = held(tmp_path, "patch-camelyon", below="pcam")  # the folder that the peer's own download makes
    names = ("lymph node", "lymph node containing metastatic tumor tissue")
    check_labels(result, lambda facts: names.index(facts.labels["tissue"]))
    check_splits(result)


def test_medmnist(tmp_path):
    result = held(tmp_path, "medmnist", *({"flag": flag} for flag in MNIST))

    def labels(facts):
        return facts.labels["finding"] if "finding" in facts.labels else stated(CHEST, facts)

    check_labels(result, labels)
    check_splits(result)
    several = [tuple(facts.labels) for facts in result.peer.values() if isinstance(facts.labels, dict)]
    assert len(several) == 4 and set(several) == {CHEST}


def test_nih_chestxray14(tmp_path):
    result = held(tmp_path, "nih-chestxray14", ALL)
    classes = result.classes()
    assert len(classes) == 14
    check_labels(result, lambda facts: stated(classes, facts))
    check_no_splits(result)
    assert result.lost == ["FileNotFoundError"]


def test_nih_chestxray14_by_default(tmp_path):
    result = held(tmp_path, "nih-chestxray14", {})
    # PA alone, the first image of a patient alone: the second one of 99901 and all AP images are left out.
    check_labels(result, lambda facts: stated(result.classes(), facts), left_out={1, 3, 4})
    assert set(result.peer) == {0, 2} and result.lost == []


def chexpert_rule(classes, facts, devices_too):
    """Blank and uncertain are both NaN with the peer; "No Finding" is no class, it makes all findings 0 (one set: devices too)."""
    values = stated(classes, facts, None, Effusion="pleural_effusion")
    if facts.labels.get("no_finding") == "present":
        values |= {one: 0.0 for one in classes if devices_too or one != "Support Devices"}
    return values


def test_chexpert(tmp_path):
    parts = {"train.csv": "train", "valid.csv": "val"}
    result = held(tmp_path, "chexpert", *({"table": table, "split": split, **ALL} for table, split in parts.items()))
    classes = result.classes()
    assert len(classes) == 13
    check_labels(result, lambda facts: chexpert_rule(classes, facts, devices_too=False))
    check_splits(result)
    assert result.lost == ["FileNotFoundError"]


def test_chexpert_of_one_view(tmp_path):
    result = held(tmp_path, "chexpert", {"table": "train.csv", "views": ["L"]})
    # A lateral has no entry in AP/PA; a file named view1 is one too.
    check_labels(result, lambda facts: chexpert_rule(result.classes(), facts, devices_too=False), left_out={0, 1, 4})
    assert {result.sides["ours"][number].labels["view"] for number in result.peer} == {"Lateral"}


def test_mimic_cxr_jpg(tmp_path):
    result = held(tmp_path, "mimic-cxr-jpg", ALL)
    classes = result.classes()
    # The study without a row of labels is left out. "No Finding" makes Support Devices 0 here, although the row says 1.
    check_labels(result, lambda facts: chexpert_rule(classes, facts, devices_too=True), left_out={2})
    assert result.peer[3].labels["Support Devices"] == 0.0
    assert result.sides["ours"][3].labels["support_devices"] == result.sides["right"][3].labels["support_devices"] == "present"
    check_no_splits(result)
    assert result.lost == ["FileNotFoundError"]


def test_mimic_cxr_jpg_of_one_view(tmp_path):
    result = held(tmp_path, "mimic-cxr-jpg", {"views": ["AP"]})
    # One image a patient by pandas' first(), the first entry of each column that is not blank: the image of the patient's first
    # study, whose row is blank, gets the labels of the second study.
    assert set(result.peer) == {4}
    for images in result.sides.values():
        assert set(stated(result.classes(), images[4], None).values()) == {None}
        assert result.peer[4].labels == chexpert_rule(result.classes(), images[5], devices_too=True)


def test_padchest(tmp_path):
    result = held(tmp_path, "padchest", {"folders": True, **ALL})
    classes = result.classes()

    def labels(facts):
        """The peer looks for its own 28 names in the text of the list; here each is a word of a published label."""
        words = {word for name, value in facts.labels.items() if value == "present" for word in name.split("_")}
        return {one: float(named(one) in words) for one in classes}

    # A row without labels is left out.
    check_labels(result, labels, left_out={3})
    found = {number: {one for one, value in facts.labels.items() if value} for number, facts in result.peer.items()}
    assert found == {0: set(), 1: {"Fibrosis"}, 2: {"Effusion", "Tube"}}
    check_no_splits(result)
    assert result.lost == ["FileNotFoundError"]


def test_padchest_in_its_folders(tmp_path):
    # The peer looks for all images right below the root; flat_dir is an argument that it does not use.
    result = held(tmp_path, "padchest", {"flat_dir": False, **ALL})
    assert result.peer == {} and result.lost == ["FileNotFoundError"] * 4


def test_rsna_pneumonia(tmp_path):
    # Views are in a table of the peer's own, which has no made-up id.
    result = held(tmp_path, "rsna-pneumonia", {"views": ["*"]})
    # The peer reads boxes alone: what is not normal without an opacity is 0 like the normal, and an opacity is a pneumonia too.
    check_labels(result, lambda facts: dict.fromkeys(result.classes(), float(facts.labels["finding"] == "Lung Opacity")))
    assert result.classes() == ("Lung Opacity", "Pneumonia")
    check_no_splits(result)


def test_vindr_cxr(tmp_path):
    result = held(tmp_path, "vindr-cxr", *({"part": part, "split": part} for part in ("train", "test")))
    check_labels(result, lambda facts: stated(result.classes(), facts, Effusion="pleural_effusion"))
    # Of the 28 labels 14 are read; the further ones (Enlarged PA, Other diseases) are passed over, as the peer says.
    assert len(result.classes()) == 14
    check_splits(result)
    assert result.lost == ["FileNotFoundError"]
