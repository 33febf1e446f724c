"""Slides: nothing planted in their texts, paths, label pictures and regions is in sets, pictures, features and exports."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from many_verbs import run_verbs
from planted_search import found_in, leaks

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))

from fuzz_seeds import texture

pytestmark = pytest.mark.slow
FIELDS = ("Filename", "User", "Title", "ImageID", "Barcode", "Patient", "Case", "ScanScope ID", "DSR ID", "Comment")
PATHS = {"plantedfolder", "plantedfile"}
WORDS = [*(f"QZ9100{n:01d}XK" for n in range(10)), *(f"QZ9200{n}XK" for n in range(6)), "PLANTEDfolder", "PLANTEDfile"]
SIDE, TILE = 256, 64


def write_slide(path: Path) -> None:
    """An SVS of Aperio's kind with a word in each field that may name somebody, and in every tag of texts."""
    said = "|".join(f"{name} = QZ9100{n}XK" for n, name in enumerate(FIELDS))
    head = (
        f"Aperio Image Library v12.0.15\r\n{SIDE}x{SIDE} [0,0 {SIDE}x{SIDE}] ({TILE}x{TILE}) JPEG/RGB Q=80|AppMag = 20|MPP = 0.5|"
    )
    image = texture(SIDE, SIDE, seed=len(path.name))
    flat = {"photometric": "rgb", "compression": "jpeg", "metadata": None, "software": "QZ92000XK"}
    texts = [(number, "s", 0, f"QZ9200{n}XK", True) for n, number in enumerate((315, 316, 33432), start=1)]
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, description=head + said, tile=(TILE, TILE), extratags=texts, **flat)
        small = np.ascontiguousarray(image[::4, ::4])
        writer.write(small, description="Aperio Image Library v12.0.15\r\nthumbnail", rowsperstrip=16, **flat)
        writer.write(small, description="Aperio\r\nlabel QZ92004XK", rowsperstrip=16, subfiletype=1, **flat)


def test_nothing_planted_in_slides_is_in_what_is_written(tmp_path: Path) -> None:
    folder, out, home = tmp_path / "PLANTEDfolder", tmp_path / "out", tmp_path / "home"
    for place in (folder, out, home, tmp_path / "said"):
        place.mkdir()
    rows = ["path,regions"]
    for number in range(3):
        write_slide(folder / f"PLANTEDfile{'x' * number}.svs")
        rows.append(f"PLANTEDfile{'x' * number}.svs,regions.geojson")
    corners = [[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE], [0, 0]]
    properties = {"objectType": "annotation", "name": "QZ92005XK", "classification": {"name": "Stroma"}}
    shape = {"type": "Polygon", "coordinates": [corners]}
    region = {"type": "Feature", "geometry": shape, "properties": properties}
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [region]}))
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    model, made = "starter-pathology", {name: str(out / name) for name in ("set", "emb", "index")}
    domain = ("--domain", "pathology")
    cut = ("--set", "reading.mode=tiles", "--set", "reading.tile_um=32", "--set", "reading.min_tissue=0.1")
    drawn = ("inspect", str(folder / "PLANTEDfile.svs"), "--overview", str(out / "overview.png"), *cut, "--json")
    lines: dict[str, tuple[str, ...]] = {
        "prepare": ("prepare", str(folder / "rows.csv"), *domain, "--output", made["set"], *cut),
        "embed": ("embed", model, made["set"], "--output", made["emb"]),
        "index": ("index", model, str(folder), "--output", made["index"], *cut, "--json"),
        "search": ("search", made["index"], "stroma", "--json"),
        "inspect": drawn,
        "audit": ("audit", made["set"]),
    }
    for name in ("trident", "clam", "qupath"):
        for source in ("set", "emb"):
            if (name, source) != ("qupath", "emb"):
                export = ("export", made[source], "--format", name, "--output", str(out / f"{name}-{source}"))
                lines[f"export {name} {source}"] = (*export, "--hashed")
    named = out / "named"
    lines["export named"] = ("export", made["set"], "--format", "qupath", "--output", str(named), "--json")
    said = run_verbs(home, tmp_path / "said", lines)
    # Without --hashed slides are named by their files, for QuPath to find them: their owner's own files, which the docs say.
    assert found_in("\n".join(map(str, named.rglob("*"))).encode(), WORDS) >= {"plantedfile"}
    for path in sorted(named.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert leaks(out, WORDS) == {}
    written = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"overview.png", "contact_sheet.jpg", "index.parquet", "features.npy", "export.json"} <= written
    assert sum(path.suffix == ".h5" for path in out.rglob("*")) == 12
    for name, (shown, logged) in said.items():
        assert found_in(logged, WORDS) == set(), name
        assert found_in(shown, WORDS) <= (PATHS if name in {"search", "inspect"} else set()), name
