"""Every data-set card is valid, says where its facts were seen, and belongs to a domain that exists."""

import re
import string

import pytest
import yaml

from domainclip.data.cards import DESCRIBED, EVIDENCED, about, card_names, find_card, load_card
from domainclip.domains.base import domains
from domainclip.errors import UsageError

SAID = {
    "commercial": r"\bnc\b|(?<!commercial or )non-?commercial|research only|not be used for commercial",
    "derivatives": r"\bnd\b|no-?derivatives|derivative works are prohibited|not to be modified",
    "redistribution": r"no redistribution|no sharing|not to be (modified or )?distributed|may not distribute",
}
"""How licences say what they forbid; RSNA's allows "commercial or non-commercial purposes"."""


@pytest.mark.parametrize("name", card_names())
def test_card(name):
    card = load_card(name)
    assert card.name == name
    assert card.domain in domains
    assert card.layout is not None or set(card.described) == set(DESCRIBED)
    assert set(card.evidence) | set(card.unverified) <= {*EVIDENCED, *DESCRIBED, "limits"}
    assert card.bring and card.size and card.access and card.kind and card.not_seen
    assert not re.search(r"\bmemory\b", f"{card.citation} {card.licence}")
    assert not set(card.evidence) & set(card.unverified)
    assert card.title and card.citation and card.licence and card.limits
    for label, values in card.classes.items():
        assert len(values) > 1, label
        for value, facts in values.items():
            assert facts.names["en"] and all(text.strip() == text and text for text in facts.names["en"]), value
    for templates in card.prompt_templates.values():
        for template in templates:
            assert [field for _, field, _, _ in string.Formatter().parse(template) if field is not None] == [""]
    text = find_card(name).read_text(encoding="utf-8")
    assert all(len(line) <= 240 for line in text.splitlines())
    assert "operations" not in about(card)


@pytest.mark.parametrize("name", card_names())
def test_a_card_forbids_what_its_licence_says_and_nothing_else(name):
    card = load_card(name)
    said = {use for use, words in SAID.items() if re.search(words, " ".join(card.licence.split()), re.IGNORECASE)}
    assert set(card.forbids) == said, card.licence


@pytest.mark.parametrize(
    ("name", "forbids"),
    [
        ("iu-xray", {"commercial", "derivatives"}),
        ("chexpert", {"commercial", "redistribution"}),
        ("mhist", {"commercial", "derivatives"}),
        ("rsna-pneumonia", set()),
        ("rs5m", {"commercial"}),
        ("lc25000", set()),
    ],
)
def test_what_some_licences_forbid_by_hand(name, forbids):
    assert set(load_card(name).forbids) == forbids


def test_there_are_cards():
    assert {"ucm", "hannover-cxr", "lc25000-lung"} <= set(card_names())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"titel": "x"}, "'title'"),
        ({"operations": [{"op": "evil", "code": "1"}]}, "operations"),
        ({"operations": [{"op": "map", "colum": "a", "to": "b", "values": {}}]}, "colum"),
        ({"layout": {"name": "zip"}}, "layout"),
        ({"evidence": {}}, "neither evidence"),
        ({"operations_version": 99}, "newer"),
        ({"class_label": "nonsense"}, "class_label"),
        ({"name": "No Good"}, "name"),
    ],
)
def test_faults_are_named(tmp_path, change, words):
    values = yaml.safe_load(find_card("ucm").read_text(encoding="utf-8")) | change
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        load_card(path)


def changed_card(tmp_path, name, change):
    values = yaml.safe_load(find_card(name).read_text(encoding="utf-8"))
    change(values)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text", ["none", "None seen.", "none seen; the page was not reachable", "a@1 (number); rest memory", "", "?"]
)
def test_evidence_that_is_none_is_refused_unless_the_field_is_unverified(tmp_path, text):
    path = changed_card(tmp_path, "mhist", lambda values: values["evidence"].update(size=text))
    with pytest.raises(UsageError, match=r"evidence that is none.*size"):
        load_card(path)

    def owned_up(values):
        del values["evidence"]["size"]
        values["unverified"].append("size")

    assert "size" in load_card(changed_card(tmp_path, "mhist", owned_up)).unverified


@pytest.mark.parametrize("text", ["none in the README", "a/b@1 index.md (none)", "none found with the copy"])
def test_where_nothing_was_found_is_evidence(tmp_path, text):
    path = changed_card(tmp_path, "mhist", lambda values: values["evidence"].update(licence=text))
    assert load_card(path).evidence["licence"] == text


@pytest.mark.parametrize(
    ("name", "field"),
    [("mhist", "forbids"), ("bach", "reading"), ("bach", "prompt_templates"), ("bach", "access"), ("bach", "size")],
)
def test_what_has_effect_needs_evidence(tmp_path, name, field):
    with pytest.raises(UsageError, match=f"neither evidence nor 'unverified' for: {field}"):
        load_card(changed_card(tmp_path, name, lambda values: values["evidence"].pop(field)))


def test_a_card_that_is_no_yaml(tmp_path):
    (tmp_path / "bad.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(UsageError, match="no YAML"):
        load_card(tmp_path / "bad.yaml")
    with pytest.raises(UsageError, match="'ucm'"):
        load_card("ucmm")
