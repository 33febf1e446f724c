"""Sections, sentences and captions of reports; real ones from Indiana University where the data are."""

import time
from collections import Counter

import pytest

from domainclip.captions.openi import parse_openi_xml
from domainclip.captions.report_captions import report_captions
from domainclip.captions.sections import parse_report
from domainclip.captions.sentences import split_sentences
from domainclip.errors import UnreadableFileError

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or pneumothorax.  Bilateral
 nodular opacities that most likely represent nipple shadows.

 The cardiomediastinal silhouette is normal.

 IMPRESSION:

 No acute cardiopulmonary process.
"""


def test_mimic_style():
    assert parse_report(MIMIC) == {
        "preamble": "FINAL REPORT",
        "examination": "CHEST (PA AND LAT)",
        "indication": "___F with new onset ascites // eval for infection",
        "technique": "Chest PA and lateral",
        "comparison": "None.",
        "findings": "There is no focal consolidation, pleural effusion or pneumothorax. Bilateral nodular opacities that most "
        "likely represent nipple shadows.\n\nThe cardiomediastinal silhouette is normal.",
        "impression": "No acute cardiopulmonary process.",
    }


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        (
            "INDICATION: fall. FINDINGS: Clear. IMPRESSION: Normal.",
            {"indication": "fall.", "findings": "Clear.", "impression": "Normal."},
        ),
        ("Findings\nClear lungs.\nImpression\nNormal.", {"findings": "Clear lungs.", "impression": "Normal."}),
        ("findings: Clear.\nconclusion: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("FINDINGS AND IMPRESSION: Clear.", {"combined": "Clear."}),
        ("FINDINGS/IMPRESSION:\nClear.", {"combined": "Clear."}),
        ("CLINICAL HISTORY: pain\nREASON FOR EXAM: fall", {"history": "pain", "indication": "fall"}),
        ("IMPRESSION: One.\n\nADDENDUM: Two.\n\nIMPRESSION: Three.", {"impression": "One.\n\nThree.", "addendum": "Two."}),
        ("FINDINGS: LUNGS: Clear.\nHEART: Normal.", {"findings": "LUNGS: Clear. HEART: Normal."}),
        ("FINDINGS: The findings are as follows: clear.", {"findings": "The findings are as follows: clear."}),
        (
            "IMPRESSION:\r\nClear.\r\n----------\r\nELECTRONICALLY SIGNED BY: A B",
            {"impression": "Clear.", "administrative": "A B", "names": "A B"},
        ),
        ("IMPRESSION:", {}),
        ("", {}),
    ],
)
def test_headings(text, sections):
    assert parse_report(text) == sections


def test_last_paragraph():
    text = "CHEST, TWO VIEWS.\n\nCOMPARISON: None.\n\nThe lungs are clear.\nNo effusion."
    assert parse_report(text)["last_paragraph"] == "The lungs are clear. No effusion."
    assert parse_report("The lungs are clear.")["last_paragraph"] == "The lungs are clear."
    assert "last_paragraph" not in parse_report("FINDINGS: Clear.\n\nMore.")
    assert "last_paragraph" not in parse_report("INDICATION: Chest pain.")
    assert "last_paragraph" not in parse_report("IMPRESSION: \n\nSIGNED BY: A. Name")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A 2.5 mm nodule is seen. HER2 is neg. E. coli.", ["A 2.5 mm nodule is seen.", "HER2 is neg.", "E. coli."]),
        ("Told Dr. X. Smith vs. Dr. Y. Then done!", ["Told Dr. X. Smith vs. Dr. Y. Then done!"]),
        ("1. Clear lungs.\n2. Normal heart.", ["Clear lungs.", "Normal heart."]),
        ("Heading without stop\n\nNext sentence", ["Heading without stop", "Next sentence"]),
        ("肺野清晰。心影正常。", ["肺野清晰。", "心影正常。"]),
        ('He said "no change." Stable?', ['He said "no change."', "Stable?"]),
        ("Approx. 3 cm. Next.", ["Approx. 3 cm.", "Next."]),
        ("  \n ", []),
    ],
)
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_long_texts_take_linear_time():
    start = time.process_time()
    for piece in ("Dr. ", "1. ", "compared to ", "FINDINGS ", "\n", "A. ", "since the prior study of "):
        texts("FINDINGS: " + piece * 4000)
    assert time.process_time() - start < 10


def texts(report, counts=None):
    return [(c.section, c.text) for c in report_captions(parse_report(report), counts)]


def test_chain_of_sections():
    assert texts(MIMIC)[0] == ("impression", "No acute cardiopulmonary process.")
    assert [section for section, _ in texts(MIMIC)] == ["impression", "findings"]
    assert texts("FINDINGS: XXXX.\nIMPRESSION: Clear.") == [("impression", "Clear.")]
    assert texts("FINDINGS: Clear.\nIMPRESSION: ___") == [("findings", "Clear.")]
    assert texts("FINDINGS AND IMPRESSION: Clear.") == [("combined", "Clear.")]
    assert texts("COMPARISON: None.\n\nThe lungs are clear.") == [("last_paragraph", "The lungs are clear.")]
    caption = report_captions({"impression": "Clear."}, language="en-GB")[0]
    assert (caption.origin, caption.language, caption.section) == ("report", "en-GB", "impression")


def test_nothing_becomes_no_caption_and_is_counted():
    counts = Counter()
    for report in ("", "IMPRESSION: XXXX. ___.", "INDICATION: Chest pain.", "FINDINGS: 1. .", "IMPRESSION: Clear."):
        texts(report, counts)
    assert counts["reports"] == 5 and counts["reports_without_caption"] == 4


def test_redactions_and_identifiers():
    counts = Counter()
    report = (
        "FINDINGS: In comparison with the study of ___, there is a 2.5 mm nodule. Discussed with Dr. Hu by phone. "
        "Chest x-XXXX is normal.\n"
        "IMPRESSION: Stable since 03/04/2019. XXXX opacity. Paged 555-123-4567."
    )
    assert texts(report, counts) == [("impression", "Stable."), ("findings", "There is a 2.5 mm nodule. Chest x-ray is normal.")]
    assert counts["sentences_dropped"] == 3 and counts["removed_date"] == 1 and counts["removed_name"] == 1


OPENI = """<?xml version="1.0"?>{doctype}<eCitation><uId id="CXR9"/><Abstract>
<AbstractText Label="COMPARISON"/><AbstractText Label="FINDINGS">Lungs <i>are</i> clear.</AbstractText>
<AbstractText Label="IMPRESSION">{text}</AbstractText></Abstract><MeSH><major>normal</major></MeSH>
<parentImage id="CXR9_IM-1"><caption>Xray PA</caption></parentImage></eCitation>"""


def test_openi_xml(tmp_path):
    path = tmp_path / "9.xml"
    path.write_text(OPENI.format(doctype="", text="Normal."))
    assert parse_openi_xml(path) == {
        "id": "CXR9",
        "language": "en",
        "sections": {"findings": "Lungs are clear.", "impression": "Normal."},
        "mesh": ["normal"],
        "images": {"CXR9_IM-1": "Xray PA"},
    }


def test_hostile_xml_is_refused(tmp_path):
    bomb = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    outside = '<!DOCTYPE b [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    broken = {
        "bomb": OPENI.format(doctype=bomb, text="&b;"),
        "file": OPENI.format(doctype=outside, text="&b;"),
        "cut": "<eCitation><a>",
    }
    for name, text in broken.items() | {("other", "<html/>"), ("oversize", "<eCitation>" + " " * 2**22 + "</eCitation>")}:
        path = tmp_path / f"{name}.xml"
        path.write_text(text)
        with pytest.raises(UnreadableFileError) as error:
            parse_openi_xml(path)
        assert f"{name}.xml" not in error.value.found
    with pytest.raises(UnreadableFileError):
        parse_openi_xml(tmp_path / "gone.xml")


@pytest.mark.real_data
def test_all_real_reports(real_data):
    paths = sorted((real_data / "radiology" / "iu_xray").rglob("*.xml"))
    assert len(paths) == 396
    counts, with_captions = Counter(), 0
    for path in paths:
        report = parse_openi_xml(path)
        captions = report_captions(report["sections"], counts)
        with_captions += bool(captions)
        for caption in captions:
            assert "XX" not in caption.text and "__" not in caption.text and caption.text.strip()
            assert caption.section in {"impression", "findings"}
        # The same report as text gives the same captions.
        text = "\n\n".join(f"{name.upper()}: {body}" for name, body in report["sections"].items())
        assert report_captions(parse_report(text)) == captions
    assert with_captions + counts["reports_without_caption"] == counts["reports"] == 396
    assert with_captions >= 390
