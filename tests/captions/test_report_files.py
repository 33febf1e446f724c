"""Reports as they are stored: encodings, XML, tables with sections in columns, list literals, languages."""

from collections import Counter

import pytest

from domainclip.captions.report_account import account_of
from domainclip.captions.report_captions import report_captions
from domainclip.captions.report_files import (
    ReportOptions,
    captions_of,
    check_encoding,
    decoded,
    read_list,
    read_report_file,
    read_report_table,
    report_from_cells,
    section_of_column,
)
from domainclip.captions.sections import read_report
from domainclip.errors import UnreadableFileError, UsageError

SPANISH = "HALLAZGOS: Radiografía de tórax sin derrame.\nIMPRESIÓN: Corazón de tamaño normal.\n"


def texts(report, **options):
    return [
        (caption.section, caption.language, caption.text) for caption in captions_of(report, ReportOptions(**options), Counter())
    ]


@pytest.mark.parametrize(
    ("stored", "declared"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("latin-1", "latin-1"), ("cp1252", "cp1252")]
)
def test_a_declared_encoding_keeps_every_accent(tmp_path, stored, declared):
    path = tmp_path / "r.txt"
    path.write_bytes(SPANISH.encode(stored))
    assert texts(read_report_file(path, declared)) == [
        ("impression", "es", "Corazón de tamaño normal."),
        ("findings", "es", "Radiografía de tórax sin derrame."),
    ]


@pytest.mark.parametrize(
    ("data", "declared", "words"),
    [
        (SPANISH.encode("latin-1"), "utf-8", "no text in UTF-8"),
        (SPANISH.encode("utf-16"), "utf-8", "no text in UTF-8"),
        (SPANISH.encode("utf-8"), "latin-1", "are UTF-8"),
        (SPANISH.encode("utf-8"), "cp1252", "are UTF-8"),
        (b"HALLAZGOS: \x81 normal.", "cp1252", "no text in CP1252"),
        ("HALLAZGOS: Coraz\ufffdn.".encode(), "utf-8", "wrong decoding"),
        (b"FINDINGS: \0\0clear", "utf-8", "wrong decoding"),
    ],
)
def test_what_contradicts_the_encoding_is_refused_never_replaced(tmp_path, data, declared, words):
    with pytest.raises(UnreadableFileError) as error:
        decoded(data, declared)
    assert words in error.value.found and error.value.remedy
    path = tmp_path / "t.csv"
    path.write_bytes(b"report\n" + data)
    with pytest.raises(UnreadableFileError):
        check_encoding(path, declared)
    with pytest.raises(UsageError):
        list(read_report_table(path, declared))


def test_ascii_is_every_encoding(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"report\nFINDINGS: Clear.\n")
    assert all(next(read_report_table(path, encoding)).language == "en" for encoding in ("utf-8", "latin-1", "cp1252"))


def test_a_letter_cut_by_the_block_is_no_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"report\n" + b"x" * (2**20 - 8) + "é\n".encode())
    check_encoding(path, "utf-8")
    with pytest.raises(UnreadableFileError, match="are UTF-8"):
        check_encoding(path, "latin-1")


def test_xml_is_known_by_its_content_and_bounds_hold(tmp_path):
    xml = '<?xml version="1.0"?><eCitation><AbstractText Label="FINDINGS">Clear lungs.</AbstractText></eCitation>'
    (tmp_path / "r.txt").write_text("\ufeff\n " + xml.split("?>")[1], encoding="utf-8")
    assert texts(read_report_file(tmp_path / "r.txt")) == [("findings", "en", "Clear lungs.")]
    (tmp_path / "large.txt").write_text("FINDINGS: " + "a" * 2**20)
    with pytest.raises(UnreadableFileError, match="larger than 1 MiB"):
        read_report_file(tmp_path / "large.txt")
    with pytest.raises(UnreadableFileError, match="cannot be opened"):
        read_report_file(tmp_path / "gone.txt")
    deep = b"<eCitation>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</eCitation>"
    (tmp_path / "deep.xml").write_bytes(deep)
    assert read_report_file(tmp_path / "deep.xml").sections == {}


@pytest.mark.parametrize(
    ("column", "section"),
    [
        ("section_findings", "findings"), ("section_impression", "impression"), ("Findings_EN", "findings"),
        ("Impressions_EN", "impression"), ("findings", "findings"), ("last_paragraph", "last_paragraph"), ("Report", "report"),
        ("report", "report"), ("section_clinical_history", "history"), ("comparison", "comparison"), ("study", None),
        ("PatientID", None), ("", None),
    ],
)  # fmt: skip
def test_names_of_columns(column, section):
    assert section_of_column(column) == section


def test_tables_as_published(tmp_path):
    """CheXpert Plus, MIMIC's sectioned file, PadChest's Spanish text, CT-RATE: columns as these write them, contents made up."""
    tables = {
        "plus.csv": (
            'path_to_image,section_findings,section_impression,section_history\na.jpg,,"1. No effusion\n2. No mass",Cough.\n',
            [("impression", "en", "No effusion. No mass")],
        ),
        "mimic.csv": (
            "study,impression,findings,last_paragraph,comparison\ns1,,,The lungs are clear.,___.\n",
            [("last_paragraph", "en", "The lungs are clear.")],
        ),
        "ct.csv": (
            "VolumeName,Findings_EN,Impressions_EN\nv,Not given.,No mass.\n",
            [("impression", "en", "No mass.")],
        ),
    }
    for name, (text, expected) in tables.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (report,) = read_report_table(tmp_path / name)
        assert texts(report, language="en") == expected
        if name != "ct.csv":
            with pytest.raises(UnreadableFileError, match="does not tell its language"):  # a column's name is no word of the report
                texts(report)
    (tmp_path / "pad.csv").write_text("ImageID,Report\n1.png,sin derrame ni neumotorax .\n", encoding="latin-1")
    (report,) = read_report_table(tmp_path / "pad.csv", "latin-1")
    assert texts(report, language="es") == [("last_paragraph", "es", "Sin derrame ni neumotorax .")]
    with pytest.raises(UsageError, match="None of its columns"):
        (tmp_path / "no.csv").write_text("a,b\n1,2\n")
        list(read_report_table(tmp_path / "no.csv"))
    with pytest.raises(UsageError, match="fewer cells"):
        (tmp_path / "cut.csv").write_text("findings,b\n1\n")
        list(read_report_table(tmp_path / "cut.csv"))


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['No effusion', \"No 'mass'\"]", ["No effusion", "No 'mass'"]),
        (r"['a\'b', 'c\nd']", ["a'b", "c\nd"]),
        ('["one"]', ["one"]),
        ("[]", []),
        ("[**2101-3-4**]", None),
        ("[1, 2]", None),
        ("['a' 'b'", None),
        ("['a'] and ['b']", None),
        ("__import__('os').system('x')", None),
        ("[__import__('os')]", None),
        ("[" * 100_000 + "]" * 100_000, None),
    ],
)
def test_list_literals_are_read_by_their_characters(text, items):
    assert read_list(text) == items


def test_a_list_in_a_cell_becomes_sentences():
    report = report_from_cells({"findings": "['No effusion', 'No mass']"})
    assert texts(report, language="en") == [("findings", "en", "No effusion. No mass")]


def test_headings_within_a_cell_are_kept_apart():
    cells = {"findings": "Clear. HISTORY: Asthma. IMPRESSION: Normal.", "history": "Cough.", "impression": "No change."}
    report = report_from_cells(cells)
    made = texts(report, language="en")
    assert made == [("impression", "en", "Normal. No change."), ("findings", "en", "Clear.")]


def test_the_row_tells_the_language_then_the_option_then_the_headings():
    report, counts = read_report(SPANISH), Counter()
    assert captions_of(report, ReportOptions(language="pt"), counts, "es-ES")[0].language == "es-ES"
    assert captions_of(report, ReportOptions(language="pt"), counts)[0].language == "pt"
    assert captions_of(report, ReportOptions(), counts)[0].language == "es"
    assert {name: count for name, count in counts.items() if "language" in name} == {
        "language_es-ES": 1, "language_pt": 1, "language_es": 1, "headings_of_another_language": 1,
    }  # fmt: skip
    with pytest.raises(UnreadableFileError) as error:
        captions_of(read_report("The lungs are clear."), ReportOptions(), counts)
    assert "report_language" in error.value.remedy
    assert captions_of(read_report("INDICATION: Pain."), ReportOptions(), counts) == []  # nothing is said in any language


def test_an_account_puts_each_report_into_one_row(tmp_path):
    reports = {
        "a": "FINDINGS: Clear.\nIMPRESSION: Normal.", "b": "IMPRESSION: The heart is normal.", "c": "FINDINGS: Clear.",
        "d": "FINDINGS/IMPRESSION: Clear.", "e": "TECHNIQUE: PA.\nEXAM: Chest.\n\nThe lungs are clear.",
        "f": "IMPRESSION: The ___.",
        "g": "HISTORY: Cough.", "h": "The lungs are clear.",
    }  # fmt: skip
    for name, text in reports.items():
        (tmp_path / f"{name}.txt").write_text(text)
    (tmp_path / "i.xml").write_text("<html/>")
    (tmp_path / ".hidden.txt").write_text("x")
    account = account_of(tmp_path, ReportOptions())
    assert list(account.rows.values()) == [1, 1, 1, 0, 1, 1, 1, 1, 2] and account.total == 9
    assert sum(account.rows.values()) == account.total
    assert [name for name, _ in account.refused] == ["h.txt", "i.xml"]
    assert "refused: i.xml" in "\n".join(account.lines())
    assert account_of(tmp_path, ReportOptions(sections=("findings",))).rows["fallback: the other of the two"] == 1


def test_nothing_but_the_describing_sections_reaches_a_caption():
    """A word planted in each other section of each language is in no caption."""
    from domainclip.captions.headings import headings

    keep = {"findings", "impression", "combined"}
    for heading, known in headings().by_text.items():
        if known.section in keep:
            continue
        report = read_report(
            f"{heading.upper()}: Zebrastripe.\n\nZebrastripe too.\nFINDINGS: Clear.\n{heading}: zebrastripe\nIMPRESSION: Normal."
        )
        made = " ".join(caption.text for caption in report_captions(report.sections))
        assert "ebrastripe" not in made and "Normal." in made, heading
