"""The card of Open-i: images by the reports that name them, and what lacks the one or the other."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from domainclip.config import DataConfig
from domainclip.data.cards import load_card, rows_of_card
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError

_XML = (
    '<eCitation><uId id="CXR{n}"/><AbstractText Label="FINDINGS">No mass {n}.</AbstractText>'
    '<AbstractText Label="INDICATION">Cough.</AbstractText>{images}</eCitation>'
)


def report(folder: Path, number: int, *images: str) -> None:
    named = "".join(f'<parentImage id="{image}"/>' for image in images)
    (folder / "ecgen-radiology" / f"{number}.xml").write_text(_XML.format(n=number, images=named))


def test_images_get_the_report_that_names_them(tmp_path):
    for part in ("ecgen-radiology", "images"):
        (tmp_path / part).mkdir()
    report(tmp_path, 1, "CXR1_IM-1", "CXR1_IM-2")
    report(tmp_path, 2)
    report(tmp_path, 3, "CXR3_IM-1")
    report(tmp_path, 4, "../../../etc/x")
    (tmp_path / "ecgen-radiology" / "5.xml").write_text("<eCitation>")
    for name in ("CXR1_IM-1", "CXR1_IM-2", "stray"):
        Image.new("L", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    with pytest.raises(UsageError, match="outside of --root"):
        open_source(DataConfig(source="iu-xray", root=str(tmp_path)), domains.get("radiology"))
    (tmp_path / "ecgen-radiology" / "4.xml").unlink()
    source = open_source(DataConfig(source="iu-xray", root=str(tmp_path)), domains.get("radiology"))
    items = {item.name: item for item in source.items()}
    assert set(items) == {"images/CXR1_IM-1.png", "images/CXR1_IM-2.png"}
    assert {item.group for item in items.values()} == {"CXR1"}
    assert [c.text for item in items.values() for c in item.captions] == ["No mass 1.", "No mass 1."]
    reasons = dict(source.rejections)
    assert reasons["images/CXR3_IM-1.png"] == "the row names a file that is not there"
    assert reasons["images/stray.png"] == reasons["ecgen-radiology/2.xml"] == "the file has no row"
    assert "cannot be parsed" in reasons["ecgen-radiology/5.xml"] and len(reasons) == 4
    assert source.card["report_reading"] == {"images_with_a_report": 2, "language_en": 1, "reports": 1, "used_findings": 1}


@pytest.mark.real_data
def test_rows_are_the_images_that_the_files_name(real_data):
    root = real_data / "radiology" / "iu_xray"
    named = {}
    for path in (root / "ecgen-radiology").glob("*.xml"):
        for image in ET.parse(path).getroot().iter("parentImage"):
            named[f"images/{image.get('id')}.png"] = f"ecgen-radiology/{path.name}"
    rows = list(rows_of_card(load_card("iu-xray"), root))
    assert {row["path"]: row["report"] for row in rows} == named and len(rows) == len(named)
    assert len({row["group"] for row in rows}) == 396 - 8  # eight reports name no image
    with pytest.raises(UsageError, match="None of"):
        open_source(DataConfig(source="iu-xray", root=str(root)), domains.get("radiology"))
