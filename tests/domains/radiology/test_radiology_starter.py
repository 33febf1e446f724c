"""The starter set of radiology: real DICOM with synthetic content, honest splits, and reports that leak nothing as captions."""

import csv
import hashlib
import json
from collections import Counter

import numpy as np
import pydicom
import pytest

from domainclip.captions.report_captions import report_captions
from domainclip.captions.sections import parse_report
from domainclip.domains.base import domains
from domainclip.errors import UsageError
from domainclip.sample import SourceItem
from domainclip.starter.radiology import FINDINGS, UNSEEN, make
from domainclip.starter.radiology_phantom import Finding, _Chest, draw_anatomy


def rows_of(folder):
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digest(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starter")
    told = []
    make(folder, groups=12, seed=3, workers=1, progress=lambda *a: told.append(a))
    assert told[0] == (1, 12, "patients") and told[-1] == (12, 12, "patients")
    return folder


def test_splits_and_compositions(starter):
    rows = rows_of(starter)
    splits = {}
    for row in rows:
        splits.setdefault(row["group"], set()).add(row["split"])
    assert all(len(names) == 1 for names in splits.values())
    assert Counter(next(iter(names)) for names in splits.values()) == {"held_out": 3, "val": 1, "train": 8}
    for row in rows:
        finding = Finding(row["label:finding"], row["label:side"], row["label:size"])
        assert row["label:composition"] == ("unseen" if finding in UNSEEN else "seen")
        assert row["label:composition"] == "seen" or row["split"] == "held_out"
    held_out = Counter(r["label:finding"] for r in rows if r["split"] == "held_out" and r["label:composition"] == "seen")
    assert held_out == dict.fromkeys(FINDINGS, 3)
    assert len(rows) == 12 * 9


def test_default_size():
    from domainclip.starter.radiology import DEFAULT_GROUPS, _splits

    counts = Counter(_splits(DEFAULT_GROUPS, 0))
    assert counts["held_out"] >= 24 and counts["val"] >= 8


def test_dicom_is_real_varied_and_says_synthetic(starter):
    seen = Counter()
    for row in rows_of(starter):
        dataset = pydicom.dcmread(starter / row["path"])
        assert "synthetic" in dataset.Manufacturer and "Synthetic" in dataset.ImageComments
        assert (dataset.BitsStored, dataset.BitsAllocated, dataset.BurnedInAnnotation) == (12, 16, "NO")
        assert dataset.pixel_array.max() <= 4095
        seen[dataset.PhotometricInterpretation] += 1
        seen[dataset.file_meta.TransferSyntaxUID.name] += 1
    assert min(seen["MONOCHROME1"], seen["MONOCHROME2"]) > 20
    assert min(seen["Explicit VR Little Endian"], seen["RLE Lossless"], seen["JPEG 2000 Image Compression (Lossless Only)"]) > 3


def test_reader_shows_dense_tissue_bright_whatever_the_photometric(starter):
    domain = domains.get("radiology")
    brighter = []
    for row in rows_of(starter):
        (sample,) = domain.samples(SourceItem(starter / row["path"], row["path"]), domain.reading_model())
        array = sample.read().array[0]
        assert array.dtype == np.float32 and array.shape == (160, 160) and array.min() >= 0 and array.max() <= 1
        brighter.append(np.median(array[105:150, 70:90]) > np.median(array[50:90, [45, 115]]))
    assert np.mean(brighter) > 0.9  # belly against lungs


def test_identifiers_are_there_to_be_found(starter):
    identifiers = json.loads((starter / "truth" / "identifiers.json").read_text())
    for row in rows_of(starter):
        known = identifiers[row["path"]]
        data = (starter / row["path"]).read_bytes()
        for field in ("name", "number", "birth_date", "accession", "physician", "study_uid"):
            assert known[field].encode() in data, field
        report = (starter / row["report"]).read_text(encoding="utf-8")
        assert known["spoken_name"] in report and known["number"] in report and known["accession"] in report
        assert "SYNTHETIC" in report.splitlines()[0]
        assert not any(known[field] in row["path"] + row["report"] for field in ("number", "accession"))


def test_captions_say_the_truth_and_leak_nothing(starter):
    identifiers = json.loads((starter / "truth" / "identifiers.json").read_text())
    distinct, sections, sided = set(), Counter(), 0
    words = {
        "no_finding": ("no abnormality", "normal", "no acute", "clear"),
        "pleural_effusion": ("effusion", "fluid"),
        "pneumothorax": ("pneumothorax",),
        "cardiomegaly": ("cardiomegaly", "enlarged"),
        "consolidation": ("consolidation",),
        "lung_nodule": ("nodule",),
        "pacemaker": ("pacemaker",),
    }
    for row in rows_of(starter):
        parsed = parse_report((starter / row["report"]).read_text(encoding="utf-8"))
        captions = report_captions(parsed)
        assert captions, parsed
        known = identifiers[row["path"]]
        for caption in captions:
            sections[caption.section] += 1
            distinct.add(caption.text)
            parts = [
                *known["spoken_name"].split(),
                *known["physician"].split("^"),
                known["number"],
                known["accession"],
                "14:35",
                "/20",
            ]
            assert not [part for part in parts if part in caption.text], caption.text
        first = captions[0].text.lower()
        assert any(word in first for word in words[row["label:finding"]]), first
        if row["label:side"]:
            other = {"left": "right", "right": "left"}[row["label:side"]]
            text = " ".join(c.text for c in captions).lower()
            assert other not in text
            sided += row["label:side"] in text
    assert sided > 0.85 * sum(bool(row["label:side"]) for row in rows_of(starter))
    assert len(distinct) > 60 and set(sections) == {"impression", "findings", "combined", "last_paragraph"}


def test_side_and_size_are_in_the_picture():
    def changed(side, size, name="pneumothorax"):
        # The thickness before exposure, since exposure spreads every change over the whole picture.
        x, y = np.meshgrid(*[(np.arange(96, dtype=np.float32) + 0.5) / 48 - 1] * 2)
        maps = [
            _Chest(draw_anatomy(np.random.default_rng(5)), finding, "PA", x, y, np.random.default_rng(6)).draw()
            for finding in (Finding("no_finding"), Finding(name, side, size))
        ]
        difference = np.abs(maps[1] - maps[0]) > 0.05
        return difference[:, :48].sum(), difference[:, 48:].sum()

    # As radiographs are hung: the patient's left is on the image's right.
    for size in ("small", "large"):
        left, right = changed("left", size), changed("right", size)
        assert left[1] > 3 * left[0] and right[0] > 3 * right[1]  # a wire on the skin may differ, too
    assert changed("left", "large", "lung_nodule")[1] > 1.5 * changed("left", "small", "lung_nodule")[1]


def test_too_few_patients(tmp_path):
    with pytest.raises(UsageError, match="12 or more"):
        make(tmp_path, groups=11)


@pytest.mark.slow
def test_workers_do_not_change_the_bytes(starter, tmp_path):
    make(tmp_path / "again", groups=12, seed=3, workers=2)
    assert digest(tmp_path / "again") == digest(starter)
    make(tmp_path / "other", groups=12, seed=4, workers=1)
    assert digest(tmp_path / "other") != digest(starter)


@pytest.mark.slow
def test_grey_level_statistics_do_not_give_the_finding_away(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    make(tmp_path, groups=60, workers=2)
    domain = domains.get("radiology")
    features, rows = [], rows_of(tmp_path)
    for row in rows:
        (sample,) = domain.samples(SourceItem(tmp_path / row["path"], row["path"]), domain.reading_model())
        array = sample.read().array
        features.append([array.mean(), array.std(), *np.histogram(array, 16, (0, 1))[0] / array.size])
    x, y = np.array(features), np.array([row["label:finding"] for row in rows])
    train = np.array([row["split"] == "train" for row in rows])
    test = np.array([row["split"] == "held_out" and row["label:composition"] == "seen" for row in rows])
    control = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x[train], y[train])
    assert balanced_accuracy_score(y[test], control.predict(x[test])) <= 0.45
