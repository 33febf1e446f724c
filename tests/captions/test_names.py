"""Sentences with a known name leave captions; the names come from header and report."""

from __future__ import annotations

from collections import Counter

import pytest

from domainclip.captions.names import captions_without, name_words, sentences_without
from domainclip.captions.sections import parse_report, report_captions
from domainclip.sample import Caption


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("SMITH^JOHN^^DR", {"smith", "john"}),
        ("Müller-Lüdenscheidt, Åsa", {"muller", "ludenscheidt", "asa"}),
        ("Ng^A.", {"ng"}),
        ("65 year old male with cough", set()),
        ("A known case of a large effusion after surgery", set()),
        ("Anonymous^Patient", set()),
        ("Yamada^Tarou=山田^太郎", {"yamada", "tarou", "山田", "太郎", "山田太郎"}),
        ("", set()),
    ],
)
def test_words_of_names(value, words):
    assert name_words([value]) == words


def test_only_the_sentences_that_hold_a_name_go():
    names = name_words(["LONG^ROSE"])
    text = "Heart size is normal. Findings were discussed with Róse. No effusion. A LONG catheter is seen."
    assert sentences_without(text, names) == ("Heart size is normal. No effusion.", 2)
    assert sentences_without("Prolonged stay; longer than usual.", names) == ("Prolonged stay; longer than usual.", 0)
    assert sentences_without("太郎さんの胸部。心臓は正常。", name_words(["太郎"])) == ("心臓は正常。", 1)


def test_captions_of_which_nothing_is_left_go():
    captions = (Caption("Mr Olsen has no effusion.", "en"), Caption("A normal chest.", "en"))
    assert captions_without(captions, name_words(["Olsen^Per"])) == ((captions[1],), 1)


def test_a_report_gives_away_its_own_names():
    text = (
        "PATIENT NAME: Quarrington, Mabel\nREFERRING PHYSICIAN: Ostrowski\n\nFINDINGS: The lungs are clear. "
        "Quarrington was unable to stand. \n\nIMPRESSION: Per Ostrowski, no change. No acute disease."
    )
    counts: Counter[str] = Counter()
    made = {caption.section: caption.text for caption in report_captions(parse_report(text), counts)}
    assert made == {"findings": "The lungs are clear.", "impression": "No acute disease."}
    assert counts["sentences_dropped"] == 2


def test_a_line_on_the_patient_that_is_no_name_costs_nothing():
    text = "PATIENT: 65 year old with cough\nFINDINGS: The patient is rotated. Old rib fractures with callus."
    assert [c.text for c in report_captions(parse_report(text))] == ["The patient is rotated. Old rib fractures with callus."]
