"""Headings in five languages: with and without colon, in any case, with and without accents; what is not known stays out."""

import unicodedata
from pathlib import Path

import pytest
import yaml

from domainclip.captions.headings import folded, headings, language_of, languages
from domainclip.captions.sections import parse_report, read_report

REPORTS = {
    "en": (
        "HISTORY: Cough.\nTECHNIQUE: PA.\nCOMPARISON: None.\nFINDINGS: No effusion.\nIMPRESSION: Normal.",
        "No effusion.",
        "Normal.",
    ),
    "es": (
        "INFORMACIÓN CLÍNICA: Tos.\nTÉCNICA: PA.\nCOMPARACIÓN: No.\nHALLAZGOS: Sin derrame.\nIMPRESIÓN: Normal.",
        "Sin derrame.",
        "Normal.",
    ),
    "pt": (
        "INDICAÇÃO: Tosse.\nTÉCNICA: PA.\nCOMPARAÇÃO: Não.\nACHADOS: Sem derrame.\nCONCLUSÃO: Normal.",
        "Sem derrame.",
        "Normal.",
    ),
    "de": (
        "KLINISCHE ANGABEN: Husten.\nFRAGESTELLUNG: Pneumonie?\nTECHNIK: p.a.\nBEFUND: Kein Erguss.\nBEURTEILUNG: Unauffällig.",
        "Kein Erguss.",
        "Unauffällig.",
    ),
    "fr": (
        "INDICATION: Toux.\nTECHNIQUE: Face.\nCOMPARAISON: Aucune.\nRÉSULTATS: Pas d'épanchement.\nCONCLUSION: Normal.",
        "Pas d'épanchement.",
        "Normal.",
    ),
}


def spellings(text):
    """The same report as people write it: capitals, title case, without accents, headings alone, a space before the colon."""
    heads = [line.split(": ", 1) for line in text.split("\n")]
    yield "capitals", text
    yield "titles", "\n".join(f"{head.capitalize()}: {body}" for head, body in heads)
    yield "lower", "\n".join(f"{head.lower()}: {body}" for head, body in heads)
    yield "alone", "\n\n".join(f"{head}\n{body}" for head, body in heads)
    yield "title alone", "\n".join(f"{head.capitalize()}\n{body}" for head, body in heads)
    yield "no accents", "\n".join(f"{folded(head)}: {body}" for head, body in heads)
    yield "space before colon", "\n".join(f"{head}\u00a0: {body}" for head, body in heads)
    yield "bare", "\n".join(f"{head} {body}" for head, body in heads)
    yield "dash", "\n".join(f"{head} - {body}" for head, body in heads)
    yield "one line", text.replace("\n", " ")
    yield "windows", text.replace("\n", "\r\n")
    yield "markup", "\n".join(f"**{head}:** {body}" for head, body in heads)
    yield "decomposed", unicodedata.normalize("NFD", text)


@pytest.mark.parametrize("language", sorted(REPORTS))
def test_every_spelling_gives_the_same_sections(language):
    text, findings, impression = REPORTS[language]
    for name, spelt in spellings(text):
        report = read_report(spelt)
        assert (report.sections.get("findings"), report.sections.get("impression")) == (findings, impression), name
        assert report.language == language, name


def test_headings_of_the_brief_open_the_sections_that_they_name():
    assert {heading: headings().look_up(heading).section for heading in (
        "HALLAZGOS", "IMPRESIÓN", "IMPRESION", "CONCLUSÃO", "ACHADOS", "BEFUND", "BEURTEILUNG", "RÉSULTATS", "CONCLUSION",
        "FINDINGS/IMPRESSION", "RECOMMENDATION", "NOTIFICATION", "TECHNIQUE", "COMPARISON", "INDICATION", "HISTORY",
        "KLINISCHE ANGABEN", "FRAGESTELLUNG", "TECHNIK", "INFORMACIÓN CLÍNICA", "TÉCNICA", "COMPARAÇÃO", "ANTÉCÉDENTS",
    )} == {
        "HALLAZGOS": "findings", "IMPRESIÓN": "impression", "IMPRESION": "impression", "CONCLUSÃO": "impression",
        "ACHADOS": "findings", "BEFUND": "findings", "BEURTEILUNG": "impression", "RÉSULTATS": "findings",
        "CONCLUSION": "impression", "FINDINGS/IMPRESSION": "combined", "RECOMMENDATION": "recommendation",
        "NOTIFICATION": "notification", "TECHNIQUE": "technique", "COMPARISON": "comparison", "INDICATION": "indication",
        "HISTORY": "history", "KLINISCHE ANGABEN": "indication", "FRAGESTELLUNG": "indication", "TECHNIK": "technique",
        "INFORMACIÓN CLÍNICA": "indication", "TÉCNICA": "technique", "COMPARAÇÃO": "comparison", "ANTÉCÉDENTS": "history",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("IMPRESSION: Normal.\nSOCIAL SITUATION: lives alone.", {"impression": "Normal.", "unknown": "lives alone."}),
        ("IMPRESSION: Normal.\nCARDIAC HISTORY: infarct.", {"impression": "Normal.", "history": "infarct."}),
        ("Motivo: tos. Hallazgos: ICT normal. Conclusión: sin hallazgos.",
         {"indication": "tos.", "findings": "ICT normal.", "impression": "sin hallazgos."}),
        ("CHEST FINDINGS: Clear.", {"findings": "Clear."}),
        ("FINDINGS (CHEST): Clear.", {"findings": "Clear."}),
        ("FINDINGS: Clear.\nPLEURA AND LUNGS: No effusion.", {"findings": "Clear. PLEURA AND LUNGS: No effusion."}),
        ("FINDINGS: Clear.\nHUESOS: Sin fracturas.", {"findings": "Clear. HUESOS: Sin fracturas."}),
        ("FINDINGS: One.\nIMPRESSION: Two.\nFINDINGS: Three.", {"findings": "One.\n\nThree.", "impression": "Two."}),
        ("FINDINGS: A nodule: 5 mm.", {"findings": "A nodule: 5 mm."}),
        ("FINDINGS: The impression: of a mass.", {"findings": "The impression: of a mass."}),
        ("1. FINDINGS: Clear.\n2. IMPRESSION: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("FINDINGS ARE CONSISTENT WITH EDEMA.", {"preamble": "FINDINGS ARE CONSISTENT WITH EDEMA.",
                                                  "last_paragraph": "FINDINGS ARE CONSISTENT WITH EDEMA."}),
        ("Report\n\nThe heart.", {"preamble": "Report\n\nThe heart.", "last_paragraph": "The heart."}),
        ("IMPRESSION:\n1. Clear lungs\n2. No mass of\n12. rib", {"impression": "1. Clear lungs\n\n2. No mass of 12. rib"}),
    ],
)  # fmt: skip
def test_other_headings(text, sections):
    assert parse_report(text) == sections


@pytest.mark.parametrize(
    "text",
    [
        "INDICATION:\nChest pain.",
        "INDICATION: Chest pain.\n\nShortness of breath.",
        "HISTORY: Cough.\n\nAsthma since childhood.",
        "ANTECEDENTES\nAsma.\n\nFumador.",
        "COMPARISON:\nChest film of last year.",
        "IMPRESSION:\n\nSIGNED BY: A. Name",
        "RECOMMENDATION: CT.\n\nIn three months.",
    ],
)
def test_histories_indications_and_comparisons_are_never_the_last_paragraph(text):
    assert "last_paragraph" not in parse_report(text)


def test_a_signature_behind_the_description_hides_it_not():
    text = "PATIENT: Doe\n\nCOMPARISON: None.\n\nThe lungs are clear.\n\nSIGNED BY: A. Name"
    assert parse_report(text)["last_paragraph"] == "The lungs are clear."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("IMPRESSION: There is no effusion.", "en"),
        ("IMPRESSION: Pas d'épanchement, le cœur est de taille normale.", "fr"),
        ("CONCLUSION: Clear.\nINDICATION: pain.", "en"),  # "clear" is a word of one language only
        ("IMPRESSION: Stable.", None),
        ("HALLAZGOS: Normal.\nCONCLUSION: Normal.", "es"),
        ("The lungs are clear.", None),
        ("NAME: Doe\nDATE: today", None),
        ("", None),
    ],
)
def test_language_by_headings_then_by_words(text, language):
    assert read_report(text).language == language


def test_the_data_file_is_whole():
    """Every heading opens one section; languages have all that the reader asks for; what nobody checked is marked."""
    from domainclip.captions import headings as module

    data = yaml.safe_load(Path(module.__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    assert set(languages()) == set(data["languages"]) == set(data["parts"]) == {"de", "en", "es", "fr", "pt"}
    assert set(data["evidence"]) == set(data["languages"]) and data["unverified"] and data["reviewed"] is False
    for language, sections in data["languages"].items():
        assert {"combined", "findings", "impression", "indication", "history", "comparison", "technique"} <= set(sections), language
        for section, spelt in sections.items():
            assert all(isinstance(text, str) and text == text.lower() for text in spelt), (language, section)
    assert all(isinstance(word, str) for words in [*data["words"].values(), *data["parts"].values()] for word in words)
    assert language_of([], "the of is") is None
