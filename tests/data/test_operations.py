"""Operations of cards and arrays of pictures, worked by hand: what no card of ours happens to ask for."""

import io
import json
import zlib
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from domainclip.config import DataConfig
from domainclip.data.cards import find_card, load_card
from domainclip.data.layouts.arrays import ArrayFile, Arrays, Place
from domainclip.data.layouts.table_file import TableFile
from domainclip.data.operations import Operation
from domainclip.data.pipeline import LEFT_OUT, manifest_cells, piped
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError, UsageError

OPERATIONS = TypeAdapter(tuple[Operation, ...])


def run(rows, *operations, account=None):
    return list(piped(OPERATIONS.validate_python(operations), rows, "It", Counter() if account is None else account))


def test_a_row_with_an_empty_list_of_objects_has_their_columns_empty(tmp_path):
    rows = [{"id": "1", "boxes": []}, {"id": "2", "boxes": [{"kind": "a"}, {"kind": "b", "size": "3"}]}, {"id": "3", "boxes": []}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    read = list(TableFile(file="a.jsonl", format="jsonl").rows(tmp_path, "It"))
    clean = {"op": "columns", "rename": {"kind": "label:kind"}}
    told = run(read, {"op": "explode", "column": "boxes"}, clean, {"op": "where", "column": "kind", "not_in": ["b"]})
    assert [(row["id"], row["kind"], row.get("label:kind")) for row in told] == [("1", "", None), ("2", "a", "a"), ("3", "", None)]
    assert manifest_cells(told[0] | {"path": "x"}, "It") == {"path": "x"}
    begun = {"op": "explode", "column": "boxes", "to": "box_"}
    told = run(read, begun, {"op": "map", "column": "box_kind", "to": "m", "values": {"a": "A", "b": "B"}})
    assert [(row["id"], row["m"]) for row in told] == [("1", ""), ("2", "A"), ("2", "B"), ("3", "")]
    with pytest.raises(UsageError, match=r"(?s)'kind'.*no such column in row 1"):
        run(read, begun, clean)
    with pytest.raises(UsageError, match=r"(?s)'size'.*no such column in row 2.*Known: boxes, id, kind\."):
        run(read, {"op": "explode", "column": "boxes"}, {"op": "columns", "rename": {"size": "group"}})


def test_explode_keeps_each_item_once_where_that_is_asked():
    row = {"l": [{"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "3"}, {"a": "1", "b": "2"}]}
    assert [one["a"] for one in run([row], {"op": "explode", "column": "l"})] == ["1", "1", "3", "1"]
    assert [one["a"] for one in run([row], {"op": "explode", "column": "l", "keep": "distinct"})] == ["1", "3"]


def test_named_findings_are_present_and_the_others_absent():
    named = {"op": "named", "column": "f", "known": ["Mass", "Lung Opacity"], "nothing": ["No Finding"]}
    assert [{n: v for n, v in row.items() if n != "f"} for row in run([{"f": ["Mass"]}, {"f": ["No Finding"]}], named)] == [
        {"label:mass": "present", "label:lung_opacity": "absent"},
        {"label:mass": "absent", "label:lung_opacity": "absent"},
    ]
    (row,) = run([{"f": ["Mass"]}], named | {"absent": False})
    assert row == {"f": ["Mass"], "label:mass": "present"}
    with pytest.raises(UsageError, match="'Nodule', which the card does not know"):
        run([{"f": ["Mass", "Nodule"]}], named)
    (row,) = run([{"f": ["Nodule"]}], named | {"others": "keep"})
    assert row["label:nodule"] == "present" and row["label:mass"] == "absent"


def test_rows_that_a_condition_leaves_out_are_counted():
    account = Counter()
    rows = [{"a": str(n), "b": "x"} for n in range(10)]
    one, other = {"op": "where", "column": "a", "not_in": ["1", "2"]}, {"op": "where", "column": "a", "is_in": ["3", "4", "5"]}
    assert [row["a"] for row in run(rows, one, other, account=account)] == ["3", "4", "5"]
    assert account == {LEFT_OUT: 2 + 5}
    assert run(rows, {"op": "where", "column": "b", "is_in": ["x"]}, account=account) == rows and account == {LEFT_OUT: 7}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"path": "../a"}, "path"),
        ({"path": "a", "paths": ["a", "b/../../c"]}, "path"),
        ({"path": "a", "paths": ["a", "/etc/c"]}, "path"),
        ({"path": "a", "report": "../Mueller_Hans.txt"}, "report"),
    ],
)
def test_no_place_leads_out_of_the_folder(row, column):
    with pytest.raises(UsageError, match=rf"Its column {column} names a file outside of --root \(row 7 ") as told:
        manifest_cells(row, "It", 7)
    assert "Mueller" not in str(told.value) and "etc" not in str(told.value)
    assert manifest_cells({"path": "a..b", "paths": ["a..b", "..."]}, "It", 7) == {"path": "a..b", "paths": ["a..b", "..."]}


def test_a_second_place_that_leads_out_stops_the_set(tmp_path):
    """The file outside is there, and is not read."""
    (tmp_path / "root").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "out.png")
    (tmp_path / "root" / "rows.csv").write_text("file\n../out.png\n")
    card = yaml.safe_load(find_card("mhist").read_text(encoding="utf-8")) | {"name": "mine", "operations": []}
    card["layout"] = {"name": "table", "options": {"table": "rows.csv", "path": ["x{file}", "{file}"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(UsageError, match=r"column path names a file outside of --root \(row 1"):
        open_source(DataConfig(source=str(tmp_path / "mine.yaml"), root=str(tmp_path / "root")), domains.get("pathology"))


def pictures(path, **options):
    return list(Arrays(name="arrays", arrays=(ArrayFile(file=path.name, **options),)).entries(path, path.parent))


def test_floats_that_are_no_whole_numbers_are_no_pictures(tmp_path):
    arrays = [np.full((4, 4, 3), value, np.float32) for value in (0, 255, 7.5, 255.5, 256, -1, np.nan)]
    np.save(tmp_path / "a.npy", np.stack(arrays))
    told = [entry.content for entry in pictures(tmp_path / "a.npy")]
    assert [content.max() for content in told[:2]] == [0, 255] and all(content.dtype == np.uint8 for content in told[:2])
    assert all("not whole numbers from 0 to 255" in content for content in told[2:])


class Planted:
    """What a pickle would run."""

    def __reduce__(self):
        return (open, ("planted", "w"))


def test_pickled_objects_are_refused_and_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = np.empty(2, object)
    hostile[:] = [Planted(), Planted()]
    np.save(tmp_path / "a.npy", hostile, allow_pickle=True)
    with pytest.raises(UnreadableFileError, match="holds Python objects"):
        pictures(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8), labels=hostile)
    with pytest.raises(UnreadableFileError, match="holds Python objects"):
        pictures(tmp_path / "a.npz", data="images", columns={"label": Place(data="labels")})
    assert not (tmp_path / "planted").exists()


def test_an_unknown_operation_is_told_with_all_that_are_known(tmp_path):
    card = yaml.safe_load(find_card("mhist").read_text(encoding="utf-8"))
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(card | {"name": "mine", "operations": [{"op": "explod", "code": "x" * 999}]})
    )
    with pytest.raises(UsageError, match=r"operations\.0: No op is called 'explod'") as told:
        load_card(tmp_path / "mine.yaml")
    known = {operation.model_fields["op"].annotation.__args__[0] for operation in Operation.__origin__.__args__}
    assert len(known) == 19 and all(name in told.value.remedy.partition("Known: ")[2] for name in known)
    assert told.value.remedy.startswith("Did you mean 'explode'?") and "xxx" not in str(told.value)


def test_files_that_are_empty_or_too_large_are_told_as_such(tmp_path):
    for name in ("a.svs", "a.png", "a.dcm", "a.tif"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(UnreadableFileError, match="file is empty") as told:
            open_slide(tmp_path / name)
        assert "copy it again" in told.value.remedy
    packed = io.BytesIO()
    Image.new("P", (8, 8)).save(packed, "PNG")
    data = bytearray(packed.getvalue())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "b.png").write_bytes(data)
    with pytest.raises(UnreadableFileError, match=r"more than 1[0-9]{2},[0-9,]+ pixels: too many") as told:
        open_slide(tmp_path / "b.png")
    assert "pyramidal TIFF" in told.value.remedy
