"""Reports to captions: marks of redactions, negation, the chain of sections and what is counted of it."""

import re
from collections import Counter

import pytest

from domainclip.captions.report_captions import clean_section, report_captions
from domainclip.captions.sections import parse_report
from domainclip.captions.sentences import split_sentences
from domainclip.captions.templates import parse_template
from domainclip.domains.base import domains


def cleaned(text, language="en"):
    counts = Counter()
    return clean_section(text, counts, language=language), counts


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # The clause with the hidden study goes where a comma or the end closes it ...
        ("In comparison with the study of ___, there is no effusion.", "There is no effusion."),
        ("Compared to chest radiograph from ___ at 14:30, no change.", "No change."),
        ("No change compared to ___.", "No change."),
        ("Since ___, a new opacity.", "A new opacity."),
        ("Unchanged since the prior study of ___.", "Unchanged."),
        ("In comparison with the study of [**2101-3-4**], no mass.", "No mass."),
        # ... and otherwise the whole sentence: what follows might be what "no" denies.
        ("In comparison with the study of ___ there is no pneumothorax, effusion or mass.", ""),
        ("No XXXX, effusion or mass. Clear.", "Clear."),
        ("No evidence of ___. Clear.", "Clear."),
        ("There is no XXXX effusion or consolidation. Clear.", "Clear."),
        ("The nodule was not seen on ___. Clear.", "Clear."),
        ("[**Hospital 12**] tube in place. Clear.", "Clear."),
        ("Chest x-XXXX normal.", "Chest x-ray normal."),
        ("Dual-XXXX pacemaker. Clear.", "Clear."),
        ("A XXXXmm nodule. Clear.", "Clear."),
    ],
)
def test_marks(text, kept):
    assert cleaned(text)[0] == kept


def test_no_sentence_with_a_mark_loses_only_a_part_of_itself():
    """Whatever a mark stands in for, what is left of a sentence is the sentence less a closed clause of comparison, or nothing."""
    for mark in ("XXXX", "___", "[**Name**]"):
        for words in (
            "No {} or effusion.",
            "{} effusion is not seen.",
            "No effusion, {} or mass.",
            "Without {}.",
            "Neither {} nor gas.",
        ):
            text, counts = cleaned(words.format(mark))
            assert text == "" and counts["sentences_dropped_for_marks"] == 1


@pytest.mark.parametrize(
    ("text", "language", "sentences"),
    [
        ("There is no\n\npneumothorax. Clear.", "en", ["There is no pneumothorax.", "Clear."]),
        ("Lungs clear without\n\neffusion.", "en", ["Lungs clear without effusion."]),
        ("No St. Jude valve.", "en", ["No St. Jude valve."]),
        ("Sin\n\nderrame pleural.", "es", ["Sin derrame pleural."]),
        ("Ausencia de nódulos. Sem\n\nderrame.", "pt", ["Ausencia de nódulos.", "Sem derrame."]),
        ("Kein\n\nErguss. Keine Fraktur der 5. Rippe.", "de", ["Kein Erguss.", "Keine Fraktur der 5. Rippe."]),
        ("Z.n. Fraktur der 12. Rippe, v.a. rechts.", "de", ["Z.n. Fraktur der 12. Rippe, v.a. rechts."]),
        ("Pas d'\n\népanchement.", "fr", ["Pas d' épanchement."]),
        ("Pneumothorax: no. Effusion: no.", "en", ["Pneumothorax: no. Effusion: no."]),
    ],
)
def test_no_split_parts_a_denial_from_its_object(text, language, sentences):
    assert split_sentences(text, language) == sentences


def test_a_caption_denies_what_its_report_denies():
    findings = "1. No focal consolidation\n2. No pleural effusion or\npneumothorax\n- Heart size normal"
    report = f"FINDINGS:\n{findings}\nIMPRESSION: No acute disease"
    captions = {caption.section: caption.text for caption in report_captions(parse_report(report))}
    assert captions == {
        "findings": "No focal consolidation. No pleural effusion or pneumothorax. Heart size normal",
        "impression": "No acute disease",
    }


@pytest.mark.parametrize("kind", ["prompt_templates", "caption_templates"])
def test_no_template_denies_a_denial(kind):
    """CheXzero's "no No Finding" (issue 19): no template of radiology with any name of a class gives a doubled "no"."""
    facts = domains.get("radiology").facts
    made = []
    for language, templates in getattr(facts, kind).items():
        for classes in facts.labels.values():
            for value in classes.values():
                for name in value.names.get(language, ()):
                    for text in templates:
                        if kind == "prompt_templates":
                            made.append(text.format(name))
                        else:
                            made.append(parse_template(text, language).render(dict.fromkeys(facts.labels, name)))
    assert len(made) > 20
    assert [text for text in made if re.search(r"\bno no\b|\bnot? no finding", text, re.IGNORECASE)] == []


@pytest.mark.parametrize(
    ("language", "report", "kept"),
    [
        (
            "de",
            "BEURTEILUNG: Kein Herd mit Kalk.\n\nMit freundlichen kollegialen Grüßen\nDr. med. Hans Müller",
            "Kein Herd mit Kalk.",
        ),
        ("de", "BEURTEILUNG: Kein Infiltrat. Rücksprache mit Frau Schulze. Befundet von Prof. Dr. med. Ömer.", "Kein Infiltrat."),
        ("es", "IMPRESIÓN: Sin derrame. Se comenta con la Dra. García.\nFdo. Ana López", "Sin derrame."),
        ("fr", "CONCLUSION: Normal. Vu avec Mme Écuyer.\nBien cordialement,\nJean Petit", "Normal."),
        ("pt", "CONCLUSÃO: Normal.\nAtenciosamente,\nJoão Silva", "Normal."),
        ("en", "IMPRESSION: Normal.\nElectronically signed on Monday\nAnn Smith", "Normal."),
    ],
)
def test_signatures_and_titles_of_each_language_stay_out(language, report, kept):
    assert [caption.text for caption in report_captions(parse_report(report), language=language)] == [kept]


@pytest.mark.parametrize(
    ("report", "wanted", "step", "sections"),
    [
        (
            "FINDINGS: A bone.\nIMPRESSION: A rib.",
            ("impression", "findings"),
            "used_impression_and_findings",
            ["impression", "findings"],
        ),
        (
            "FINDINGS: A bone.\nIMPRESSION: A rib.",
            ("findings", "impression"),
            "used_findings_and_impression",
            ["findings", "impression"],
        ),
        ("FINDINGS: A bone.\nIMPRESSION: A rib.", ("findings",), "used_findings", ["findings"]),
        ("IMPRESSION: A rib.", ("findings",), "fallback_impression", ["impression"]),
        ("FINDINGS: A bone.", ("impression",), "fallback_findings", ["findings"]),
        ("FINDINGS: ___.\nIMPRESSION: A rib.", ("impression", "findings"), "used_impression", ["impression"]),
        ("FINDINGS/IMPRESSION: A rib.", ("impression",), "fallback_combined", ["combined"]),
        ("COMPARISON: None.\n\nA rib.", ("impression",), "fallback_last_paragraph", ["last_paragraph"]),
        ("IMPRESSION: XXXX.", ("impression",), "emptied", []),
        ("IMPRESSION: Not given.", ("impression",), "empty", []),
        ("INDICATION: Pain.", ("impression",), "empty", []),
    ],
)
def test_each_step_of_the_chain_is_counted_once(report, wanted, step, sections):
    counts = Counter()
    assert [caption.section for caption in report_captions(parse_report(report), counts, wanted=wanted)] == sections
    steps = {name: count for name, count in counts.items() if name.startswith(("used_", "fallback_", "empt"))}
    assert steps == {step: 1}


DENYING = {
    "en": ("no", "without", "negative for", "free of", "no evidence of"),
    "de": ("ohne", "kein", "keine", "keinen", "nicht", "weder"),
    "fr": ("sans", "pas de", "pas d'", "aucun", "aucune"),
    "es": ("sin", "ni"),
    "pt": ("sem", "não", "nem"),
}


@pytest.mark.parametrize(("language", "word"), [(language, word) for language, words in DENYING.items() for word in words])
def test_a_page_break_never_parts_a_denial_from_its_object(language, word):
    from domainclip.captions.sentences import split_sentences

    text = f"Xxxx {word}\n\nxxxx yyyy. Zzzz."
    assert split_sentences(text, language) == [f"Xxxx {word} xxxx yyyy.", "Zzzz."]
    assert split_sentences("Xxxx und\n\nxxxx.", language) == ["Xxxx und", "xxxx."]
