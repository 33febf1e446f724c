"""The account of the 396 Open-i reports of the sample data, counted a second time with the standard library alone."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from domainclip.captions.openi import parse_openi_xml
from domainclip.captions.report_account import account_of
from domainclip.captions.report_captions import report_captions
from domainclip.captions.report_files import ReportOptions

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "radiology" / "iu_xray"


@pytest.fixture(scope="module")
def written(folder):
    """File to label to text, by ElementTree."""
    reports = {}
    for path in sorted(folder.rglob("*.xml")):
        parts = {
            part.get("Label"): " ".join("".join(part.itertext()).split()) for part in ET.parse(path).getroot().iter("AbstractText")
        }
        reports[path] = {label: text for label, text in parts.items() if text}
    return reports


def usable(text):
    """Whether a sentence without a mark is left, by a rule simpler than the reader's: full stops alone end sentences."""
    text = re.sub(r"[Xx][- ]X{3,}", "x-ray", text)
    return any("XXX" not in sentence and re.search(r"[a-z]{2}", sentence, re.I) for sentence in re.split(r"(?<=[.?!])\s+", text))


def test_every_report_is_in_exactly_one_row(folder, written):
    account = account_of(folder, ReportOptions())
    assert len(written) == account.total == sum(account.rows.values()) == 396
    again = Counter()
    for parts in written.values():
        both = {label for label in ("FINDINGS", "IMPRESSION") if usable(parts.get(label, ""))}
        if both == {"FINDINGS", "IMPRESSION"}:
            again["findings and impression"] += 1
        elif both:
            again[f"{next(iter(both)).lower()} only"] += 1
        elif set(parts) & {"FINDINGS", "IMPRESSION"}:
            again["emptied: only marks, names or numbers"] += 1
        else:
            again["empty: nothing describes the picture"] += 1
    assert {row: count for row, count in account.rows.items() if count} == dict(again)
    assert dict(again) == {
        "findings and impression": 342,
        "impression only": 46,
        "findings only": 6,
        "emptied: only marks, names or numbers": 1,
        "empty: nothing describes the picture": 1,
    }
    assert account.counts["language_en"] == 394 and account.counts["sentences_dropped_for_marks"] == 319


def test_sections_are_what_the_files_say(written):
    for path, parts in written.items():
        sections = parse_openi_xml(path)["sections"]
        assert sections == {label.lower(): text for label, text in parts.items()}


def test_no_caption_holds_a_mark_or_a_sentence_that_the_section_has_not(written):
    """Every sentence of a caption stands in the section word for word, first letter and the three counted repairs aside."""
    sentences = repaired = 0
    for path, parts in written.items():
        for caption in report_captions(parse_openi_xml(path)["sections"]):
            assert "XX" not in caption.text and caption.section in {"impression", "findings"}
            source = parts[caption.section.upper()].lower()
            for sentence in re.split(r"(?<=[.?!])\s+", caption.text.lower()):
                sentences += 1
                repaired += sentence.rstrip(".") not in source
    assert sentences > 2000
    assert repaired <= 40


def test_every_denial_is_kept_as_it_was_written(written):
    """Each sentence that denies something and holds no mark is in the caption, word for word."""
    denials, missing = 0, []
    for path, parts in written.items():
        made = {caption.section.upper(): caption.text.lower() for caption in report_captions(parse_openi_xml(path)["sections"])}
        for label in ("FINDINGS", "IMPRESSION"):
            for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", parts.get(label, "")):
                sentence = re.sub(r"^\d\.\s*|[\s.]*\b\d\.$|[\s.]+$", "", sentence)  # numbers of lists
                if re.search(r"\b(no|not|without)\b", sentence.lower()) and "XXX" not in sentence:
                    denials += 1
                    if sentence.lower() not in made.get(label, ""):
                        missing.append(sentence)
    assert denials > 750
    assert missing == []


def test_indications_and_comparisons_reach_no_caption(written):
    """No run of five words of an indication or comparison is in a caption, unless the describing sections say it themselves."""
    for path, parts in written.items():
        made = " ".join(caption.text.lower() for caption in report_captions(parse_openi_xml(path)["sections"]))
        own = f"{parts.get('FINDINGS', '')} {parts.get('IMPRESSION', '')}".lower()
        for label in ("INDICATION", "COMPARISON"):
            words = parts.get(label, "").lower().split()
            for run in (" ".join(words[n : n + 5]) for n in range(len(words) - 4)):
                assert run not in made or run in own


def test_the_command_prints_the_table(folder):
    command = [sys.executable, "-m", "domainclip", "inspect", str(folder), "--domain", "radiology"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"findings and impression +342\n", shown) and re.search(r"reports +396\n", shown)
    document = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert document["total"] == sum(document["rows"].values()) == 396
