"""Sentences with a known name leave captions; the names come from header and report."""

from __future__ import annotations

from collections import Counter

import pytest

from domainclip.captions.names import captions_without, header_names, line_names, name_in_line, sentences_without
from domainclip.captions.report_captions import report_captions
from domainclip.captions.sections import parse_report
from domainclip.sample import Caption


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("SMITH^JOHN^^DR", {"smith", "john"}),
        ("Müller-Lüdenscheidt, Åsa", {"muller", "ludenscheidt", "asa"}),
        ("Ng^A.", {"ng"}),
        ("da Silva Pereira dos Santos Almeida e Costa^Maria", {"silva", "pereira", "santos", "almeida", "costa", "maria"}),
        ("van der Berg^Jan", {"berg", "jan"}),
        ("Anonymous^Patient^0034", set()),
        ("Yamada^Tarou=山田^太郎", {"yamada", "tarou", "山田", "太郎", "山田太郎"}),
        ("Jeong^Sangmin=정^상민", {"jeong", "sangmin", "상민", "정상민"}),
        ("", set()),
    ],
)
def test_words_of_names_in_headers(value, words):
    found = header_names([value])
    assert words <= found if words else not found
    assert not found & {"da", "dos", "van", "der", "dr", "patient", "정"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Quarrington, Mabel", {"quarrington", "mabel"}),
        ("Anna Ostrowski, MD on 03/02/2021 10:33", {"anna", "ostrowski"}),
        ("Smith, John (DOB 1960)", {"smith", "john"}),
        ("quarrington, mabel", {"quarrington", "mabel"}),
        ("65 year old male with cough", set()),
        ("has cough, not available", set()),
        ("has known effusion", set()),
    ],
)
def test_words_of_names_in_lines_of_a_report(line, words):
    found = line_names([name_in_line("PATIENT", line)])
    assert words <= found if words else not found
    assert not found & {"md", "with", "cough", "year"}


def test_only_the_sentences_that_hold_a_name_go():
    names = header_names(["LONG^ROSE"])
    text = "Heart size is normal. Findings were discussed with Róse. No effusion. A LONG catheter is seen."
    assert sentences_without(text, names) == ("Heart size is normal. No effusion.", 2)
    assert sentences_without("Prolonged stay; longer than usual.", names) == ("Prolonged stay; longer than usual.", 0)
    # Korean: the family name alone is one syllable, and that of many words
    assert sentences_without("심장은 정상이다.", header_names(["정^상민"])) == ("심장은 정상이다.", 0)
    assert sentences_without("정상민 환자. 심장은 정상이다.", header_names(["정^상민"])) == ("심장은 정상이다.", 1)
    assert sentences_without("太郎さんの胸部。心臓は正常。", header_names(["太郎"])) == ("心臓は正常。", 1)


def test_captions_of_which_nothing_is_left_go():
    captions = (Caption("Mr Olsen has no effusion.", "en"), Caption("A normal chest.", "en"))
    assert captions_without(captions, header_names(["Olsen^Per"])) == ((captions[1],), 1)


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


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("smith^john", "Smith has no effusion."),
        ("Müllenbach^Jörg", "MUELLENBACH prior."),
        ("Müllenbach^Jörg", "Mullenbach has a small effusion."),
        ("O'Shaughnessy^Kilian", "OShaughnessy is well."),
        ("OShaughnessy^Kilian", "O'Shaughnessy is well."),
        ("DeLaCruzado^Maria", "De La Cruzado could stand."),
        ("De La Cruzado^Maria", "Delacruzado could stand."),
        ("Smith-Jones^Ann", "Smith Jones was rotated."),
    ],
)
def test_spellings_of_a_name(header, text):
    assert sentences_without(f"{text} The heart is normal.", header_names([header])) == ("The heart is normal.", 1)


def test_sentences_with_a_number_of_the_person_go() -> None:
    text = "Small effusion. Patient AB-77 was rotated. Chart ab-77x is another. The AB-77."
    assert sentences_without(text, frozenset(), frozenset({"ab-77"})) == ("Small effusion. Chart ab-77x is another.", 2)
