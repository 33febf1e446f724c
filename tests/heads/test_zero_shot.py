"""Zero-shot: toy features whose answer is known, ensembling by hand, and a real tiny model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone

from domainclip.errors import UsageError
from domainclip.heads.prompts import class_features, templates_for
from domainclip.heads.zero_shot import ZeroShotClassifier
from domainclip.model_record import Prompts


class WordModel:
    """Imitates ``DomainModel`` with features that are ids: each word and each picture of a word is its own axis."""

    def __init__(self, words, templates=("{}",), scale=10.0):
        self.words, self.logit_scale = list(words), scale
        self.record = SimpleNamespace(prompts=Prompts(templates={"en": templates}))

    def encode_text(self, texts, language=None):
        rows = np.array([[float(word in text.split()) for word in self.words] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_image(self, inputs, batch_size=64):
        return self.encode_text(list(inputs))


def test_ids_as_features_are_classified_without_fault():
    words = ["gland", "fat", "stroma", "lymph"]
    classifier = ZeroShotClassifier(WordModel(words), words)
    assert classifier.predict(["fat", "gland", "lymph"]).tolist() == ["fat", "gland", "lymph"]
    probabilities = classifier.predict_proba(["fat"])
    assert probabilities[0] == pytest.approx(softmax([0.0, 10.0, 0.0, 0.0]), abs=1e-6)
    assert classifier.decision_function(["fat"])[0].tolist() == [0, 1, 0, 0]


def test_synonyms_count_for_their_class():
    model = WordModel(["adipose", "fat", "gland"])
    classifier = ZeroShotClassifier(model, {"a": ["adipose", "fat"], "g": "gland"})
    assert classifier.predict(["fat", "adipose", "gland"]).tolist() == ["a", "a", "g"]


def test_ensembling_worked_by_hand():
    vectors = {"x": [3.0, 4.0], "a x": [0.0, 2.0], "y": [1.0, 0.0], "a y": [1.0, 0.0]}

    def encode(texts):
        return np.array([vectors[text] for text in texts])

    named = {"x": ("x",), "y": ("y",)}
    # Mean of (0.6, 0.8) and (0, 1) is (0.3, 0.9); of (3, 4) and (0, 2) is (1.5, 3).
    first = class_features(encode, named, ("{}", "a {}"))
    assert first[0] == pytest.approx(np.array([0.3, 0.9]) / np.hypot(0.3, 0.9))
    second = class_features(encode, named, ("{}", "a {}"), "mean")
    assert second[0] == pytest.approx(np.array([1.5, 3.0]) / np.hypot(1.5, 3.0))
    assert first[1] == pytest.approx([1, 0])


def test_names_are_never_read_as_templates():
    seen = []

    def encode(texts):
        seen.extend(texts)
        return np.eye(len(texts))

    class_features(encode, {"a": ("{} {0.__class__}",), "b": ("b",)}, ("x {} y",))
    assert seen == ["x {} {0.__class__} y", "x b y"]


def test_scikit_learns_conventions(model):
    classifier = ZeroShotClassifier(model, ["red", "green"], batch_size=8)
    assert set(classifier.get_params(deep=False)) == {"model", "classes", "templates", "language", "batch_size"}
    assert clone(ZeroShotClassifier(3, ["a", "b"])).classes == ["a", "b"]
    assert classifier.fit() is classifier


def test_a_real_model(model):
    pictures = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)
    classifier = ZeroShotClassifier(model, ["red glands", "blue fat", "stroma"])
    probabilities = classifier.predict_proba(pictures)
    text = np.stack(
        [model.encode_text([name, f"a picture of {name}"]).mean(axis=0) for name in ("red glands", "blue fat", "stroma")]
    )
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    assert probabilities == pytest.approx(softmax(model.encode_image(pictures) @ text.T * model.logit_scale, axis=1), abs=1e-5)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-6)


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        ([], "no class"),
        (["one"], "1 class: one"),
        ("a,b", "one text"),
        (["a", "a"], "twice"),
        (["a", " "], "blank"),
        ({"a": [], "b": ["b"]}, "no words"),
        ({"a": [""], "b": ["b"]}, "blank"),
    ],
)
def test_classes_that_are_refused(classes, found):
    with pytest.raises(UsageError) as error:
        ZeroShotClassifier(WordModel(["a"]), classes)
    assert found in error.value.found


def test_templates_that_are_refused(model):
    prompts = Prompts(templates={"en": ("{}",)})
    for wrong in ([], ["no hole"], ["{} and {}"], "{}"):
        with pytest.raises(UsageError):
            templates_for(prompts, "en", wrong)
    with pytest.raises(UsageError, match="language"):
        ZeroShotClassifier(model, ["a", "b"], language="fr").fit()
    with pytest.raises(UsageError, match="16 numbers"):
        ZeroShotClassifier(model, ["a", "b"]).scores_of_features(np.zeros((2, 8), np.float32))
