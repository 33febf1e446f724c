"""Tables that are not what they seem: bombs end early, and whoever meets a wrong one is told which file, where, and what to do."""

import csv
import gzip
import json
import sqlite3
import tracemalloc
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domainclip.data.layouts import bounds, workbook_bounds
from domainclip.data.layouts.bounds import Nesting, wrong_byte
from domainclip.data.layouts.table import Join, Table
from domainclip.data.layouts.table_file import TableFile
from domainclip.errors import UsageError


def rows(path, **options):
    return list(TableFile(file=path.name, **options).rows(path.parent, "It"))


def refused(path, match, **options):
    with pytest.raises(UsageError, match=match) as told:
        rows(path, **options)
    return told.value


@pytest.mark.parametrize(
    "content", ["[" * 5000, '[{"a": ' + "[" * 200 + "]" * 200 + "}]", '[{"a": "\\\\\\"", "b": ' + '{"c":' * 80]
)
def test_json_nested_deeply_is_refused_before_it_is_parsed(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    refused(tmp_path / "a.json", "nested deeper than 64", format="json")
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' + content.replace("\n", " ") + "\n")
    refused(tmp_path / "a.jsonl", "nested deeper than 64", format="jsonl")


def test_nesting_is_followed_across_pieces():
    """Against the json module: every way of cutting a text whose strings hold brackets, quotes and backslashes gives its depth."""
    value = [{"a\\": ['"[', "\\", '\\"[[{', "]"], "[b": {"c": [[["\\\\\\"]]]}}, "{" * 9]
    text = json.dumps(value).encode()
    for size in range(1, len(text)):
        following = Nesting(1)
        for at in range(0, len(text), size):
            following.follow(text[at : at + size])
        assert (following._depth, following._within_text) == (0, False)
    for depth, fits in ((64, True), (65, False)):
        text = b'"[\\"[" ' + b"[" * depth
        try:
            Nesting().follow(text)
        except ValueError:
            assert not fits
        else:
            assert fits


def bomb(path, start, unit, times, end=b""):
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(times):
            file.write(unit * 2**14)
        file.write(end)


@pytest.mark.parametrize(
    ("form", "start", "unit"),
    [
        ("csv", b"a,b\n", b"x,"),  # one line
        ("csv", b"a,b\n", b'"\n",'),  # one row of many lines
        ("jsonl", b'{"a": 1}\n{"a": "', b"xx"),
        ("lines", b"", b"xx"),
        ("json", b'[{"a": "', b"xx"),
        ("json", b'[{"a": [', b"1,"),
        ("json", b"[", b"11"),
    ],
)
def test_a_row_without_end_is_refused_within_its_bound(form, start, unit, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_ROW", 2**19)
    path = tmp_path / f"a.{form}.gz"
    bomb(path, start, unit, 2**9)  # 16 MiB and more once unpacked
    options = {"header": ("a",)} if form == "lines" else {}
    tracemalloc.start()
    refused(path, "has more than 524288", format=form, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_records_that_are_long_together_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_ROW", 2**14)
    told = [{"a": "x" * 2000, "b": {"c": [1, 2]}} for _ in range(200)]
    for value, options in (
        (told, {}),
        ({"d": {"e": [3]}, "images": told}, {"at": "images.item"}),
        ({str(n): one for n, one in enumerate(told)}, {"keyed": "k"}),
        ({"x": {str(n): one for n, one in enumerate(told)}}, {"keyed": "k", "at": "x"}),
    ):
        (tmp_path / "a.json").write_text(json.dumps(value))
        read = rows(tmp_path / "a.json", format="json", **options)
        assert len(read) == 200 and all(one["a"] == "x" * 2000 and one["b"] == {"c": ["1", "2"]} for one in read)

    for form, line, options in (
        ("csv", 'x,"y\n"\n', {}),
        ("jsonl", '{"a": "x", "b": "y"}\n', {}),
        ("lines", "x\n", {"header": ("a",)}),
    ):
        (tmp_path / f"a.{form}").write_text(("a,b\n" if form == "csv" else "") + line * 2**13)
        count = sum(row["a"] == "x" for row in TableFile(file=f"a.{form}", format=form, **options).rows(tmp_path, "It"))
        assert count == 2**13


def workbook(path, lines):
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)


def test_files_of_another_form_are_named_and_no_defect(tmp_path):
    workbook(tmp_path / "a.xlsx", [["a", "b"], [1, 2]])
    whole = (tmp_path / "a.xlsx").read_bytes()
    for content in (whole[: len(whole) // 2], b"a,b\n1,2\n", b""):
        (tmp_path / "b.xlsx").write_bytes(content)
        refused(tmp_path / "b.xlsx", r"b\.xlsx.*\n.*no xlsx", format="xlsx")
    packed = gzip.compress(b"a,b\n" + bytes(range(65, 91)) * 99)
    for content in (packed[:-12], packed[:10] + b"\x07" + packed[11:]):
        (tmp_path / "a.csv.gz").write_bytes(content)
        refused(tmp_path / "a.csv.gz", "no csv in utf-8")


def test_two_columns_of_one_name_are_refused_in_every_form(tmp_path):
    found = "Two columns have the same name: 'a'"
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")
    refused(tmp_path / "a.csv", found)
    workbook(tmp_path / "a.xlsx", [["a", "b", "a"], [1, 2, 3]])
    refused(tmp_path / "a.xlsx", found, format="xlsx")
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", found, format="parquet")
    with sqlite3.connect(tmp_path / "a.sqlite") as base:
        base.execute("create table t as select 1 as a, 2 as b")
    base.close()
    refused(tmp_path / "a.sqlite", found, format="sqlite", query="select a, b as a from t")
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": 2, "a": 3}\n')
    refused(tmp_path / "a.jsonl", "the name 'a' twice", format="jsonl")
    (tmp_path / "a.json").write_text('[{"b": 1}, {"a": 1, "b": 2, "a": 3}]')
    refused(tmp_path / "a.json", "the name 'a' twice", format="json")


def with_parts(path, **parts):
    """Writes a workbook anew with other parts, by the beginnings of their names."""
    with zipfile.ZipFile(path) as file:
        old = {name: file.read(name).decode() for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in old.items():
            file.writestr(name, next((change(text) for start, change in parts.items() if start in name), text))


@pytest.mark.parametrize(
    ("part", "change", "found"),
    [
        (
            "sheet1",
            lambda text: text.replace("<row", "<row>" + "<c/>" * 2**10 + "</row><row", 1),
            "a row, or .* has more than 1024 parts",
        ),
        ("sheet1", lambda text: text.replace("</c>", "</c>" + "<row/><c/>" * 2**9, 1), "a row, or .* has more than 1024 parts"),
        ("sheet1", lambda text: text.replace("</c>", f"</c><!--{'<row>' * 2**15}-->", 1), "a row, or .* has more than 65536 bytes"),
        (
            "sheet1",
            lambda text: text.replace("<sheetData>", "<si/>" * 2**10 + "<sheetData>"),
            "a row, or .* has more than 1024 parts",
        ),
        (
            "sheet1",
            lambda text: text.replace("</sheetData>", "<x/>" * 2**10 + "</sheetData>"),
            "a row, or .* has more than 1024 parts",
        ),
        ("styles", lambda text: text.replace("<fonts", "<x/>" * 2**12 + "<fonts"), "more texts and styles"),
        ("Content", lambda text: text.replace("/xl/styles.xml", "/xl/worksheets/sheet1.xml"), "uses a sheet as something else"),
        ("sheet1", lambda text: text[:-9], "no xlsx"),
        ("printer", lambda text: "<x/>" * 2**12, "more texts and styles"),
    ],
)
def test_workbooks_are_bounded_before_they_are_read(part, change, found, tmp_path, monkeypatch):
    workbook(tmp_path / "a.xlsx", [["a", "b"], *[["x" * 99, n] for n in range(900)]])
    with zipfile.ZipFile(tmp_path / "a.xlsx", "a") as file:  # what a part is called says nothing of what reads it
        file.writestr("xl/printer.dat", "")
    monkeypatch.setattr(workbook_bounds, "_MAX_ELEMENTS", 2**12)
    monkeypatch.setattr(workbook_bounds, "_MAX_ROW_ELEMENTS", 2**10)
    monkeypatch.setattr(bounds, "MAX_ROW", 2**16 if "bytes" in found else 2**24)
    assert len(rows(tmp_path / "a.xlsx", format="xlsx")) == 900
    with_parts(tmp_path / "a.xlsx", **{part: change})
    refused(tmp_path / "a.xlsx", found, format="xlsx")


def test_rows_and_what_follows_them_are_bounded_apart(tmp_path, monkeypatch):
    workbook(tmp_path / "a.xlsx", [["a", "b"], ["x", 1]])
    monkeypatch.setattr(workbook_bounds, "_MAX_ROW_ELEMENTS", 2**10)
    long = {"<row": "<row>" + "<c/>" * 1000 + "</row><row", "</sheetData>": "</sheetData>" + "<x/>" * 1000}
    with_parts(
        tmp_path / "a.xlsx", sheet1=lambda text: text.replace("</sheetData>", long["</sheetData>"]).replace("<row", long["<row"], 1)
    )
    workbook_bounds.check_workbook(tmp_path / "a.xlsx")


def test_csv_keeps_an_index_and_loses_no_cell(tmp_path):
    (tmp_path / "a.csv").write_text(",a,b,,\n0,1,2,,\n")
    assert rows(tmp_path / "a.csv") == [{"": "", "a": "1", "b": "2"}]
    (tmp_path / "a.csv").write_text(",a,b,,\n0,1,2,,lost\n")
    refused(tmp_path / "a.csv", "Line 2 has a cell in a column without a name")
    (tmp_path / "a.csv").write_text(",a\n0,1\n")
    assert rows(tmp_path / "a.csv") == [{"": "0", "a": "1"}]


def test_workbooks_keep_an_index_and_lose_no_cell(tmp_path):
    workbook(tmp_path / "a.xlsx", [[None, "a", "b"], [0, "x", None], [1, "y", 2]])
    assert rows(tmp_path / "a.xlsx", format="xlsx") == [{"": "0", "a": "x", "b": ""}, {"": "1", "a": "y", "b": "2"}]
    workbook(tmp_path / "a.xlsx", [["a", None, None, "b"], ["x", None, None, 2]])
    assert rows(tmp_path / "a.xlsx", format="xlsx") == [{"a": "x", "": "", "b": "2"}]
    workbook(tmp_path / "a.xlsx", [["a", None, None, "b"], ["x", "lost", None, 2]])
    refused(tmp_path / "a.xlsx", "Row 2 has a cell in a column without a name", format="xlsx")


def test_a_mark_at_the_start_belongs_to_no_column(tmp_path):
    for content in (b"\xef\xbb\xbfa,b\n1,2\n", b"a,b\n1,2\n"):
        (tmp_path / "a.csv").write_bytes(content)
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
        assert rows(tmp_path / "a.csv") == rows(tmp_path / "a.csv.gz") == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_another_encoding_is_told_with_its_place(name, tmp_path):
    content = 'a\n"x"\n"Gewebe ü"\n'.encode("cp1252") if "csv" in name else '{"a": 1}\n{"a": 2}\n{"a": "ü"}\n'.encode("cp1252")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    form = "jsonl" if name.endswith("jsonl") else "csv"
    told = rf"Line 3 holds the byte 0xfc \(byte {content.index(0xFC)} of the file\), which is no UTF-8"
    error = refused(tmp_path / name, told, format=form)
    assert "cp1252" in error.remedy and "encoding" in error.remedy and "report" not in str(error)
    (tmp_path / "b.csv").write_text("a\nü\n", encoding="utf-8")
    assert "report" not in str(refused(tmp_path / "b.csv", "UTF-8", encoding="cp1252"))


def test_wrong_bytes_are_found_across_pieces(tmp_path):
    """Against the decoder's own answer for the whole file."""
    for content in (b"a\n" * 2**19 + b"\xfc\n", b"\xc3\xbc\n" * 349526 + b"\xc3", b"x" * (2**20 - 1) + b"\xc3\xc3"):
        with pytest.raises(UnicodeDecodeError) as told:
            content.decode()
        (tmp_path / "a").write_bytes(content)
        with (tmp_path / "a").open("rb") as file:
            at = told.value.start
            assert wrong_byte(file, "utf-8") == (1 + content[:at].count(b"\n"), at, content[at])


def test_another_separator_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("Bild;Patient;Klasse\n1.png;2;3\n")
    layout = Table(name="table", options={"table": "a.csv", "path": "{Bild}"})
    with pytest.raises(UsageError, match=r"(?s)by the column 'Bild'\..*in a\.csv\..*'Bild;Patient;Klasse'.*';'.*delimiter"):
        list(layout.rows(tmp_path, "The data set mine"))


@pytest.fixture
def two(tmp_path):
    for name, lines in (("a.csv", [["k", "x"], ["1", "p"], ["2", "q"]]), ("b.csv", [["k", "y"], ["1", "r"], ["1", "s"]])):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    return tmp_path


def test_joins_do_as_they_say(two):
    def joined(**options):
        join = Join(tables=({"file": "b.csv"},), on={"k": "k"}, **options)
        return [(row["k"], row["x"], row["y"]) for row in join.apply(rows(two / "a.csv"), two, "It")]

    assert joined() == [("1", "p", "r"), ("1", "p", "s"), ("2", "q", "")]
    assert joined(missing="leave_out") == [("1", "p", "r"), ("1", "p", "s")]
    with pytest.raises(UsageError, match=r"b\.csv has 2 rows for k = 1"):
        joined(several="refuse")
    with pytest.raises(UsageError, match=r"b\.csv has 0 rows for k = 2"):
        joined(missing="refuse")
    with pytest.raises(UsageError, match=r"(?s)column 'z'.*b\.csv"):
        list(Join(tables=({"file": "b.csv"},), on={"k": "z"}).apply(rows(two / "a.csv"), two, "It"))
