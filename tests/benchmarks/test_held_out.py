"""The held-out report on a real prepared set, with toy encoders whose features are the ids, so that the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from domainclip.benchmarks.held_out import class_names_of, evaluate_held_out
from domainclip.config import RunConfig
from domainclip.data.prepared_set import PreparedSet
from domainclip.errors import UsageError
from domainclip.model_record import ModelRecord, Preprocessing, Prompts

KINDS = ("stripe", "square", "ring")
WORDS = {"stripe": ("stripes", "bars"), "square": ("squares",), "ring": ("rings",)}


def _picture(kind: str, shade: int) -> np.ndarray:
    y, x = np.indices((16, 16))
    on = {"stripe": y % 2, "square": (x + y) % 2, "ring": (np.hypot(x - 7.5, y - 7.5) // 2) % 2}[kind].astype(bool)
    return np.where(on[..., None], shade, 255 - shade).astype(np.uint8).repeat(3, axis=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    from domainclip.config import DataConfig
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_source
    from domainclip.domains.base import domains

    folder = tmp_path_factory.mktemp("held-out") / "source"
    folder.mkdir()
    rows = []
    for number in range(90):
        kind, group = KINDS[number % 3], number // 6
        # No two are equal: equal pictures of two groups would make them one.
        Image.fromarray(_picture(kind, 5 + number // 3)).save(folder / f"{number}.png")
        rows.append(
            {
                "path": f"{number}.png",
                "label:shape": kind,
                "label:composition": "unseen" if number % 6 < 2 else "seen",
                "caption": f"a picture of {WORDS[kind][0]}",
                "group": f"g{group}",
                "split": "train" if group < 8 else "held_out",
            }
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    domain = domains.get("pathology")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOMAINCLIP_HOME", str(tmp_path_factory.getbasetemp() / "owner"))
        source = open_source(DataConfig(source=str(folder)), domain)
        return prepare(source, domain, folder.parent / "set", workers=0, val_fraction=0)


CONFIG = RunConfig.model_validate(
    {"domain": "pathology", "data": {"class_label": "shape"}, "evaluation": {"bootstrap": 200, "recall_at": (1, 5)}}
)
RECORD = ModelRecord(
    domain="pathology",
    architecture="toy",
    model_cfg={"embed_dim": 3},
    preprocessing=Preprocessing(
        channels=("red", "green", "blue"), values_kind="srgb", image_size=16, mean=(0.5,) * 3, std=(0.5,) * 3
    ),
    context_length=8,
    tokenizer="folder",
    prompts=Prompts(templates={"en": ("{}", "a picture of {}")}),
)
_TEMPLATES = {kind: torch.from_numpy(_picture(kind, 0)[..., 0].astype(np.float32) / 127.5 - 1) for kind in KINDS}


def see(images: torch.Tensor) -> torch.Tensor:
    """The image's kind as an axis, by correlation with each pattern."""
    found = torch.stack([(images[:, 0] * _TEMPLATES[kind]).mean(dim=(1, 2)).abs() for kind in KINDS], dim=1)
    return torch.nn.functional.one_hot(found.argmax(dim=1), 3).float()


def read(texts) -> np.ndarray:
    """The word's kind as an axis."""
    return np.array([[float(any(word in text for word in WORDS[kind])) for kind in KINDS] for text in texts], np.float32)


def _evaluate(prepared, encode_image=see, config=CONFIG, **options):
    return evaluate_held_out(encode_image, read, prepared, RECORD, config, WORDS, **options)


def test_an_encoder_that_sees_is_perfect_and_the_control_is_not(prepared):
    report = json.loads(json.dumps(_evaluate(prepared)))
    zero_shot = report["zero_shot"]
    assert (report["images"], report["groups"], report["unreadable"]) == (42, 7, 0)
    expected = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 42, "groups": 7, "chance": pytest.approx(1 / 3)}
    assert zero_shot["balanced_accuracy"] == expected
    assert zero_shot["unseen_compositions"]["balanced_accuracy"]["n"] == 14
    assert zero_shot["seen_compositions"]["balanced_accuracy"]["n"] == 28
    assert zero_shot["classes"] == 3
    assert zero_shot["confusion"]["counts"] == [[14, 0, 0], [0, 14, 0], [0, 0, 14]]
    assert report["baselines"]["majority"]["balanced_accuracy"]["value"] == pytest.approx(1 / 3)
    control = report["baselines"]["control"]["balanced_accuracy"]["value"]
    assert report["difference"]["balanced_accuracy"]["value"] == pytest.approx(1 - control)
    assert report["difference"]["balanced_accuracy"]["low"] <= 1 - control <= report["difference"]["balanced_accuracy"]["high"]
    assert report["baselines"]["control"]["trained_on"] == 48


def test_retrieval_of_equal_captions(prepared):
    retrieval = _evaluate(prepared)["retrieval"]
    assert (retrieval["images"], retrieval["captions"], retrieval["distinct_captions"]) == (42, 42, 3)
    for direction in ("text_to_image", "image_to_text"):
        for k in (1, 5):
            figure = retrieval[direction][f"recall_at_{k}"]
            assert figure["equivalent"]["value"] == 1.0
            assert figure["strict"]["value"] == pytest.approx(k / 14)
            assert figure["strict"]["ceiling"] == pytest.approx(k / 14)
            assert figure["strict"]["chance"] == pytest.approx(k / 42)
    assert retrieval["mean_recall"]["strict"]["value"] == pytest.approx((1 / 14 + 5 / 14) / 2)


def test_an_encoder_that_guesses_is_counted_as_such(prepared):
    draw, seen = np.random.default_rng(0), []

    def guess(images):
        seen.append(draw.integers(0, 2, len(images)))
        return np.eye(3, dtype=np.float32)[seen[-1]]

    report = _evaluate(prepared, guess, batch_size=10)
    assert [len(part) for part in seen] == [10, 10, 10, 10, 2]
    rows = prepared.subset("held_out")
    truth = [KINDS.index(labels["shape"]) for labels in rows["labels"]]
    guesses = np.concatenate(seen)
    assert report["zero_shot"]["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, guesses))
    assert report["zero_shot"]["per_class_recall"]["ring"] == {"value": 0.0, "n": 14}
    assert report["zero_shot"]["balanced_accuracy"]["low"] < report["zero_shot"]["balanced_accuracy"]["high"]


def test_class_names_come_from_the_set_where_nobody_names_them(prepared):
    assert class_names_of(prepared, CONFIG) == ("shape", {"ring": ("ring",), "square": ("square",), "stripe": ("stripe",)})
    none = RunConfig.model_validate({"domain": "pathology", "data": {"class_label": "absent"}})
    report = evaluate_held_out(see, read, prepared, RECORD, none)
    assert report["zero_shot"] is None
    assert report["retrieval"] is not None


def test_other_splits_and_no_control(prepared):
    quiet = CONFIG.model_copy(update={"evaluation": CONFIG.evaluation.model_copy(update={"control": False})})
    report = _evaluate(prepared, config=quiet, split="train")
    assert report["split"] == "train"
    assert report["zero_shot"]["balanced_accuracy"]["n"] == 48
    assert "control" not in report["baselines"]
    assert report["difference"] is None
    with pytest.raises(UsageError, match="nowhere"):
        _evaluate(prepared, split="nowhere")


def test_the_same_twice(prepared):
    assert json.dumps(_evaluate(prepared)) == json.dumps(_evaluate(prepared))


def test_a_split_that_tears_groups_is_said(prepared):
    assert "training never saw" in _evaluate(prepared)["protocol"]
    torn = PreparedSet(prepared.folder)
    # As of images that the source held out, and that show what its training shows: they are of one group then.
    parts = [torn.index.index[torn.index["split"] == part][:3] for part in ("train", "held_out")]
    names = torn.index["group"].copy()
    names[parts[1]] = names[parts[0]].to_numpy()
    wanted = len(set(names[parts[0]]))
    torn.index["group"] = names
    report = _evaluate(torn)
    assert report["torn_groups"] >= wanted > 0
    assert "never saw" not in report["protocol"] and f"leaves {report['torn_groups']} groups in more" in report["protocol"]
