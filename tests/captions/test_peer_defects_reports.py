"""What peers' code does to reports, as notes on their sources tell; each case is one that ours gets right."""

from collections import Counter

from domainclip.captions.openi import parse_openi_bytes
from domainclip.captions.report_captions import report_captions
from domainclip.captions.report_files import ReportOptions, captions_of, decoded, report_from_cells
from domainclip.captions.sections import read_report


def made(text, **options):
    return {c.section: c.text for c in captions_of(read_report(text), ReportOptions("en", **options), Counter())}


def test_a_report_without_impression_gives_no_caption_that_says_so():
    """CheXzero writes "NO IMPRESSION" where it finds none, and trains on it; it reads from the last IMPRESSION on alone."""
    assert made("FINDINGS: Clear lungs.", sections=("impression",)) == {"findings": "Clear lungs."}
    assert made("HISTORY: Cough.") == {}
    assert made("IMPRESSION: NO IMPRESSION") == {}
    assert made("IMPRESSION: One rib.\nADDENDUM: x\nIMPRESSION: Two ribs.\nRECOMMENDATION: CT.") == {
        "impression": "One rib. Two ribs."
    }


def test_accents_stay():
    """GLoRIA encodes captions as ASCII and ignores what does not fit."""
    text = decoded("HALLAZGOS: Engrosamiento pleural apical, pequeño nódulo.".encode("cp1252"), "cp1252")
    assert made(text) == {"findings": "Engrosamiento pleural apical, pequeño nódulo."}


def test_sections_do_not_run_into_each_other():
    """CT-CLIP joins findings and impression without a space, and takes quotes and brackets out of texts."""
    cells = {"findings": "No 'mass' (5 mm) seen", "impression": "Normal", "history": "Cough"}
    report = report_from_cells(cells)
    assert {c.section: c.text for c in report_captions(report.sections)} == {
        "impression": "Normal",
        "findings": "No 'mass' (5 mm) seen",
    }
    assert report_captions(report_from_cells({"findings": "Not given.", "impression": "Not given."}).sections) == []


def test_no_text_is_cut_at_so_many_characters():
    """PubMedCLIP cuts captions at MAX_SEQ_LENGTH characters; ours go to the tokenizer whole, which counts what it leaves out."""
    text = "No effusion in part " + ". No effusion in part ".join(map(str, range(300))) + "."
    assert made(f"FINDINGS: {text}") == {"findings": text}


def test_marks_of_redactions_are_in_no_caption():
    """MedCLIP's sentences hold MIMIC's ___."""
    assert made("FINDINGS: Compared to ___, no effusion. Tube placed by ___. Clear.") == {"findings": "No effusion. Clear."}


def test_findings_and_impression_of_openi_are_read():
    """torchxrayvision takes the MeSH labels of Open-i alone, and parses the XML with a parser that expands entities."""
    labels = "".join(f'<AbstractText Label="{name}">{text}</AbstractText>' for name, text in (
        ("FINDINGS", "Clear lungs."), ("IMPRESSION", "Normal."), ("INDICATION", "Cough."),
    ))  # fmt: skip
    sections = parse_openi_bytes(f"<eCitation>{labels}<MeSH><major>normal</major></MeSH></eCitation>".encode())["sections"]
    assert {c.section: c.text for c in report_captions(sections)} == {"impression": "Normal.", "findings": "Clear lungs."}
