"""Manifests: what their columns become, and the traps that they hold."""

import pandas as pd
import pytest
from png_domain import DOMAIN

from domainclip.config import DataConfig
from domainclip.data.sources import Source, open_source
from domainclip.errors import UsageError
from domainclip.sample import Spacing


def opened(path, **config) -> Source:
    source = open_source(DataConfig(source=str(path), **config), DOMAIN)
    assert isinstance(source, Source)
    return source


def manifest(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_several_rows_of_a_file_are_several_captions(pictures):
    path = manifest(
        pictures,
        "path,caption,language,label,label:size,group,split,spacing\n"
        'case0/img00.png,"a cat, asleep",en,cat,small,A,train,0.5\n'
        "case0/img00.png,eine Katze,de,cat,small,A,train,0.5\n"
        "case1/img02.png,a dog,,dog,,B,test,0.5 0.25\n",
    )
    first, second = opened(path).items()
    assert [(c.text, c.language) for c in first.captions] == [("a cat, asleep", "en"), ("eine Katze", "de")]
    assert first.labels == {"kind": "cat", "size": "small"}
    assert (first.group, first.split, first.spacing) == ("A", "train", Spacing((0.5, 0.5), "um", "manifest"))
    assert second.captions[0].language == "und"
    assert second.labels == {"kind": "dog"}
    assert (second.split, second.spacing) == ("held_out", Spacing((0.5, 0.25), "um", "manifest"))


def test_a_parquet_manifest_gives_the_same_as_csv(pictures):
    text = "path,caption,label:size,spacing\ncase0/img00.png,a cat,,0.5\ncase1/img02.png,a dog,big,\n"
    csv_path = manifest(pictures, text)
    table = pd.DataFrame(
        {
            "path": ["case0/img00.png", "case1/img02.png"],
            "caption": ["a cat", "a dog"],
            "label:size": [None, "big"],
            "spacing": [0.5, None],
        }
    )
    table.to_parquet(pictures / "table.parquet")
    assert list(opened(csv_path).items()) == list(opened(pictures / "table.parquet").items())


def test_class_label_names_the_column_label(pictures):
    path = manifest(pictures, "path,label\ncase0/img00.png,x\n")
    assert next(opened(path, class_label="race").items()).labels == {"race": "x"}


def test_a_byte_order_mark_and_windows_lines_do_no_harm(pictures):
    path = pictures / "table.csv"
    path.write_bytes("\ufeffpath,caption\r\ncase0/img00.png,é\r\n".encode())
    assert next(opened(path).items()).captions[0].text == "é"


def test_a_report_becomes_captions_without_identifiers(pictures):
    (pictures / "r.txt").write_text("NAME: John Smith\nINDICATION: cough.\nFINDINGS: A large cat. MRN 1234567.\nIMPRESSION: Cat.\n")
    path = manifest(pictures, "path,report\ncase0/img00.png,r.txt\n")
    source = opened(path)
    captions = next(source.items()).captions
    assert {c.section for c in captions} == {"impression", "findings"}
    assert all(c.origin == "report" for c in captions)
    joined = " ".join(c.text for c in captions)
    assert "1234567" not in joined and "Smith" not in joined and "cough" not in joined
    assert source.card["report_reading"]["reports"] == 1


def test_regions_are_read_and_a_missing_file_is_counted(pictures):
    feature = (
        '{"type":"Feature","properties":{"classification":{"name":"cat"}},'
        '"geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]]]}}'
    )
    (pictures / "a.geojson").write_text(f'{{"type":"FeatureCollection","features":[{feature}]}}')
    path = manifest(
        pictures, "path,regions\ncase0/img00.png,a.geojson\ncase0/img01.png,b.geojson\ncase9/none.png,\ncase1/img02.png,\n"
    )
    source = opened(path)
    items = list(source.items())
    assert [item.name for item in items] == ["case0/img00.png", "case1/img02.png"]
    assert items[0].regions[0].labels == {"kind": "cat"}
    assert source.rejections == (
        ("case0/img01.png", "its file of regions is not there"),
        ("case9/none.png", "the row names a file that is not there"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,captoin\ncase0/img00.png,a\n", "'caption'"),
        ("file,caption\ncase0/img00.png,a\n", "no column 'path'"),
        ("path,label:\ncase0/img00.png,a\n", "label:"),
        ("path,caption\n", "no rows"),
        ("path,caption\ncase0/img00.png,a,b\n", "Line 2 has more cells"),
        ("path,caption\ncase0/img00.png\n", "Line 2 has fewer cells"),
        ("path,path\ncase0/img00.png,a\n", "same name"),
        ("path,caption\n,a\n", "'path' is empty"),
        ("path,split\ncase0/img00.png,trian\n", "'train'"),
        ("path,spacing\ncase0/img00.png,-1\n", "positive"),
        ("path,spacing\ncase0/img00.png,half\n", "positive"),
        ("path,spacing,spacing_unit\ncase0/img00.png,1,inch\n", "inch"),
        ("path,label\ncase0/img00.png,a\ncase0/img00.png,b\n", "contradicts"),
        ("path,caption\nnope.png,a\n", "None of the files"),
        ('path,caption\ncase0/img00.png,"a\n', "cannot be read"),
    ],
)
def test_traps(pictures, text, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        opened(manifest(pictures, text))


def test_a_table_that_is_not_utf8_is_refused(pictures):
    path = pictures / "table.csv"
    path.write_bytes("path,caption\ncase0/img00.png,é\n".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        opened(path)
    broken = pictures / "table.parquet"
    broken.write_bytes(b"PAR1 is how it starts and no more")
    with pytest.raises(UsageError, match="no Parquet"):
        opened(broken)


def test_sources_that_are_not_there(pictures, tmp_path):
    with pytest.raises(UsageError, match="'ucm'"):
        opened("ucn")
    with pytest.raises(UsageError, match="no such file or folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="--root"):
        opened("ucm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="It is empty"):
        opened(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="none of which"):
        opened(tmp_path / "empty")
    with pytest.raises(UsageError, match="no kind that the domain png reads"):
        opened(tmp_path / "empty" / "notes.txt")


def test_a_folder_reports_what_it_leaves_out(pictures):
    (pictures / "README.txt").write_text("x")
    (pictures / "slide.xyz").write_text("x")
    (pictures / ".hidden.png").write_text("x")
    source = opened(pictures)
    assert len(source) == 12
    assert source.rejections == (("slide.xyz", "no file that the domain png reads"),)
    assert source.card["companions"] == 1
    assert source.card["synthetic"] is False


def test_a_starter_set_is_known_to_be_synthetic(pictures):
    (pictures / "starter.json").write_text('{"synthetic": true}')
    manifest(pictures, "path\ncase0/img00.png\n", "manifest.csv")
    source = opened(pictures)
    assert source.card["synthetic"] is True
    assert len(source) == 1
