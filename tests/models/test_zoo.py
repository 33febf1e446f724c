"""Names to folders, the list, the cards."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from domainclip.errors import UsageError
from domainclip.models import zoo
from domainclip.models.checkpoint import save_model
from domainclip.models.model_card import read_front_matter, write_model_card, write_starter_card

FIGURES = {
    "protocol": "21 held-out slides, seen classes.",
    "zero_shot": {"balanced_accuracy": {"value": 0.91234, "low": 0.88, "high": 0.94, "chance": 1 / 6, "n": 600, "groups": 21}},
    "baselines": {"statistics": {"balanced_accuracy": {"value": 0.6, "low": 0.55, "high": 0.65, "n": 600, "groups": 21}}},
}


@pytest.fixture
def shipped(tmp_path, monkeypatch, make_model, make_record, tokenizer):
    """A weights folder with one starter model, a folder of cards, and the run that made them."""
    model = make_model()
    provenance = {"data": "/home/someone/secret/starter-set", "seed": 0, "patient": "Doe", "samples_seen": 32000}
    record = make_record(model, synthetic=True, classes=("adipose", "mucus | <b>"), provenance=provenance)
    run = tmp_path / "run"
    save_model(run / "model", model, record, tokenizer)
    (run / "config.yaml").write_text("domain: pathology\n")
    (run / "summary.json").write_text(json.dumps({"held_out": FIGURES}))
    weights, cards = tmp_path / "weights", tmp_path / "cards"
    shutil.copytree(run / "model", weights / "starter-pathology")
    cards.mkdir()
    monkeypatch.setattr(zoo, "starter_weights_folder", lambda: weights)
    monkeypatch.setattr(zoo, "resource_folder", lambda name: cards)
    return run, weights, cards


def test_names_and_folders_are_found(shipped):
    run, weights, _ = shipped
    assert zoo.find_model("starter-pathology") == weights / "starter-pathology"
    assert zoo.find_model(run) == zoo.find_model(str(run / "model")) == run / "model"
    (run / "model" / "domainclip.json").unlink()
    assert zoo.find_model(run) == run / "model"  # what is left is a folder of open_clip


def test_a_folder_of_the_same_name_without_a_model_does_not_hide_the_shipped_one(shipped, tmp_path, monkeypatch):
    _, weights, _ = shipped
    (tmp_path / "here" / "starter-pathology").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert zoo.find_model("starter-pathology") == weights / "starter-pathology"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("starter-patholgy", "Did you mean 'starter-pathology'"),
        ("MahmoodLab/conch", "hf download MahmoodLab/conch"),
        ("hf-hub:org/name", "without a prefix"),
        ("runs/of/nobody", "Check the path"),
        ("/no/such", "Check the path"),
        ("", "No model is called"),
        ("..", "without a model"),
    ],
)
def test_what_is_no_model_is_answered(shipped, tmp_path, monkeypatch, name, words):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty" / "inner")
    with pytest.raises(UsageError) as caught:
        zoo.find_model(name)
    assert words in str(caught.value) or (name == "" and "without a model" in str(caught.value))


def test_an_unfinished_run_and_a_file_are_told_apart(shipped):
    run, _, _ = shipped
    shutil.rmtree(run / "model")
    with pytest.raises(UsageError, match="run without a saved model"):
        zoo.find_model(run)
    with pytest.raises(UsageError, match="It is a file"):
        zoo.find_model(run / "summary.json")


def test_the_list_joins_cards_and_shipped_weights(shipped):
    run, _, cards = shipped
    write_starter_card(run, cards / "starter-pathology.md")
    (cards / "elsewhere.md").write_text("---\ndomain: radiology\nsource: hub\n---\n# Elsewhere\n")
    elsewhere, starter = zoo.list_models()
    assert elsewhere == {"name": "elsewhere", "domain": "radiology", "summary": "", "source": "hub", "available": False}
    assert starter["available"] and starter["synthetic"] and starter["domain"] == "pathology"
    assert starter["classes"] == ["adipose", "mucus | <b>"] and "synthetic" in starter["summary"]
    assert starter["figures"]["zero_shot"]["balanced_accuracy"]["value"] == 0.91234
    json.dumps([elsewhere, starter])


def test_a_broken_card_is_named(shipped):
    _, _, cards = shipped
    for content in ("# no front matter\n", "---\n[1, 2\n---\n", "---\n- a\n---\n"):
        (cards / "bad.md").write_text(content)
        with pytest.raises(UsageError, match=r"bad\.md"):
            zoo.list_models()


def test_listing_needs_no_torch(tmp_path):
    code = "import sys; from domainclip.models.zoo import list_models; list_models(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_card_beside_the_weights(shipped, make_model, make_record):
    run, _, _ = shipped
    from domainclip.models.checkpoint import read_record

    path = write_model_card(run / "model", read_record(run / "model"), FIGURES)
    text = path.read_text()
    front = read_front_matter(path)
    assert path.name == "README.md" and front["library_name"] == "domainclip" and front["license"] == "apache-2.0"
    assert "synthetic" in front["tags"] and front["language"] == ["en"]
    assert "**Synthetic.**" in text and "**Not a medical device.**" in text and "21 held-out slides" in text
    assert "| zero shot, balanced accuracy | 0.912 | 0.880 to 0.940 | 0.167 | 600 | 21 |" in text
    assert "someone" not in text and "Doe" not in text and "data: starter-set" in text
    assert "mucus \\| &lt;b>" in text


def test_a_card_of_a_users_model_claims_no_licence_and_no_figures(tmp_path, make_model, make_record):
    model = make_model("tiny-vit", ("B02", "B08"))
    record = make_record(model, preprocessing={"values_kind": "reflectance", "spacing": (10.0, 10.0), "spacing_unit": "m"})
    record = record.model_copy(update={"domain": "remote-sensing"})
    text = write_model_card(tmp_path, record, {}).read_text()
    assert "license: other" in text and "None were measured" in text and "10 x 10 m a pixel" in text
    assert "Synthetic" not in text and "medical" not in text and "open_clip.create" not in text


def test_a_starter_card_comes_from_a_starter_run_only(shipped, tmp_path):
    run, _, _ = shipped
    card = write_starter_card(run, tmp_path / "starter-pathology.md")
    front = yaml.safe_load(card.read_text().split("---\n")[1])
    assert front["name"] == "starter-pathology" and front["architecture"] == "tiny-vit" and front["activation"] == "gelu"
    assert front["preprocessing"]["mean"] == [0.7, 0.5, 0.6] and front["licence"] == "Apache-2.0" and front["synthetic"] is True
    record = json.loads((run / "model" / "domainclip.json").read_text())
    (run / "model" / "domainclip.json").write_text(json.dumps({**record, "synthetic": False}))
    with pytest.raises(UsageError, match="not trained on a starter set"):
        write_starter_card(run, tmp_path / "x.md")
    (run / "summary.json").unlink()
    with pytest.raises(UsageError, match="Finish the run"):
        write_starter_card(run, tmp_path / "x.md")
