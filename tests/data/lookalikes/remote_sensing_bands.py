"""Look-alikes of remote-sensing sets whose images are bands of digital numbers in GeoTIFF files.

A picture's number tells its digital numbers: ``digital_number(number, band)`` fills each band, so a wrong order shows.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from lookalikes.kit import Expected, LookAlike, lookalike, put
from rasterio.crs import CRS
from rasterio.transform import Affine

WAVELENGTHS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
L2A = tuple(band for band in WAVELENGTHS if band != "B10")
METRES = dict.fromkeys(WAVELENGTHS, 20) | dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09", "B10"), 60)
EUROSAT_FILE = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")


def digital_number(number: int, band: str) -> int:
    """Returns what fills a band of a picture: the hundreds tell the picture, the rest the band's place by wavelength."""
    return 100 * (number + 1) + WAVELENGTHS.index(band)


def geotiff(path: Path, bands: np.ndarray, epsg: int, transform: tuple[float, ...], **more: str) -> None:
    """Writes (bands, rows, columns) as a georeferenced TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", crs=CRS.from_epsg(epsg), transform=Affine(*transform), **shape, **more) as file:
        file.write(bands)


def optical(folder: Path, number: int, east: float = 3e5) -> None:
    """Writes the twelve one-band files of a patch in the true proportions: 24 px at 10 m, 12 at 20 m, 4 at 60 m."""
    for band in L2A:
        metres, size = METRES[band], 240 // METRES[band]
        levels = np.full((1, size, size), digital_number(number, band), np.uint16)
        geotiff(folder / f"{folder.name}_{band}.tif", levels, 32633, (metres, 0, east, 0, -metres, 5.3e6))


def radar(folder: Path, east: float = 3e5) -> None:
    """Writes the radar pair of a patch (decibels, float32), which is no image of the optical set."""
    for band, level in (("VV", -12.5), ("VH", -19.25)):
        levels = np.full((1, 24, 24), level, np.float32)
        geotiff(folder / f"{folder.name}_{band}.tif", levels, 32633, (10, 0, east, 0, -10, 5.3e6))


def present(names: list[str]) -> dict[str, str]:
    return {name.lower().replace(" ", "_"): "present" for name in names}


def named(patch: str) -> str:
    """Returns the path of a v2 patch: below the folder of its tile."""
    return f"BigEarthNet-S2/{patch.rsplit('_', 2)[0]}/{patch}"


LONG = "Land principally occupied by agriculture, with significant areas of natural vegetation"
V2_COLUMNS = (
    "patch_id",
    "labels",
    "split",
    "country",
    "s1_name",
    "s2v1_name",
    "contains_seasonal_snow",
    "contains_cloud_or_shadow",
)
# Patch, labels, split, country, radar scene.
V2 = [
    (
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57",
        ["Arable land", LONG],
        "train",
        "Austria",
        "S1B_IW_GRDH_1SDV_20170612T165809",
    ),
    ("S2B_MSIL2A_20170808T101029_N9999_R022_T33UUP_26_57", ["Arable land"], "train", "Austria", "S1A_IW_GRDH_1SDV_20170807T165045"),
    (
        "S2A_MSIL2A_20170614T102021_N9999_R122_T32TQT_45_38",
        ["Broad-leaved forest", "Transitional woodland, shrub"],
        "train",
        "Switzerland",
        "S1A_IW_GRDH_1SDV_20170614T165154",
    ),
    (
        "S2B_MSIL2A_20170615T102019_N9999_R122_T32TNS_45_23",
        ["Inland waters", "Pastures"],
        "validation",
        "Switzerland",
        "S1A_IW_GRDH_1SDV_20170615T170156",
    ),
    (
        "S2A_MSIL2A_20170618T101021_N9999_R022_T32TQR_89_34",
        ["Coniferous forest"],
        "test",
        "Switzerland",
        "S1A_IW_GRDH_1SDV_20170618T165722",
    ),
]
V2_GONE = (
    "S2A_MSIL2A_20170618T101021_N9999_R022_T32TQR_90_34",
    ["Pastures"],
    "test",
    "Switzerland",
    "S1A_IW_GRDH_1SDV_20170618T165722",
)
V2_SNOW = (
    "S2A_MSIL2A_20180221T093041_N9999_R136_T35VNK_10_11",
    ["Mixed forest"],
    "train",
    "Finland",
    "S1A_IW_GRDH_1SDV_20180222T044532",
)


def v2_table(path: Path, patches: list[tuple[str, list[str], str, str, str]], snow: bool = False) -> None:
    rows = []
    for patch, labels, split, country, scene in patches:
        *first, tile, column, row = patch.split("_")
        rows.append(
            (
                patch,
                labels,
                split,
                country,
                f"{scene}_{tile[1:]}_{column}_{row}",
                f"{'_'.join(first[:3])}_{column}_{row}",
                snow,
                False,
            )
        )
    columns = dict(zip(V2_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), path)


@lookalike("bigearthnet")
def bigearthnet(root: Path) -> LookAlike:
    """v2/reBEN: microsoft/torchgeo@0806ef1a5ccf tests/data/bigearthnet/v2/data.py (tree, ids, S1, maps); column order: file id
    30503207079; split word "validation", both tables with the same eight columns and flags by table: file id 63249604018 (its
    reader checks the published checksums; nothing with snow or cloud in metadata.parquet). The same reader tells that a cell of
    a tile (T33UUP_26_57), taken at several dates, never crosses the splits; of the tile's folder nobody says so: the cell is
    the group.

    Filled in: pixel types (uint16; float32 for radar), columns 4 to 8 of each row, the second date of T33UUP_26_57, the snowy
    patch, the lost row.
    """
    for number, (patch, labels, _, _, scene) in enumerate([*V2, V2_SNOW]):
        tile, east = patch.rsplit("_", 2)[0], 3e5 + 1200 * number
        optical(root / named(patch), number, east)
        radar(root / "BigEarthNet-S1" / scene / f"{scene}_{'_'.join(patch.split('_')[-3:])[1:]}", east)
        codes = np.full((1, 24, 24), 211 if "Arable land" in labels else 312, np.uint16)
        geotiff(root / "Reference_Maps" / tile / patch / f"{patch}_reference_map.tif", codes, 32633, (10, 0, east, 0, -10, 5.3e6))
    v2_table(root / "metadata.parquet", [*V2, V2_GONE])
    v2_table(root / "metadata_for_patches_with_snow_cloud_or_shadow.parquet", [V2_SNOW], snow=True)
    splits = {"train": "train", "validation": "val", "test": "held_out"}
    images = tuple(
        Expected(named(patch), number, present(labels), group="_".join(patch.split("_")[-3:]), split=splits[split])
        for number, (patch, labels, split, _, _) in enumerate(V2)
    )
    return LookAlike(images, rejected=(named(V2_GONE[0]), named(V2_SNOW[0])))


# Patch, radar patch, table, labels: 2 x 2 neighbours of a tile lie in different splits; one hour without its leading zero.
V1 = [
    (
        "S2A_MSIL2A_20170613T101031_0_44",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_0_44",
        "train",
        ["Non-irrigated arable land", LONG],
    ),
    (
        "S2A_MSIL2A_20170613T101031_0_45",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_0_45",
        "test",
        ["Broad-leaved forest", "Water courses"],
    ),
    ("S2A_MSIL2A_20170613T101031_1_44", "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_1_44", "val", ["Transitional woodland/shrub"]),
    (
        "S2A_MSIL2A_20171002T94031_7_8",
        "S1B_IW_GRDH_1SDV_20171003T043028_34TCR_7_8",
        "train",
        ["Beaches, dunes, sands", "Sea and ocean"],
    ),
]


@lookalike("bigearthnet+v1")
def bigearthnet_v1(root: Path) -> LookAlike:
    """v1: microsoft/torchgeo@9abbc7a39fb4 tests/data/bigearthnet/v1/data.py, @9bd14c24d2c4 ..._labels_metadata.json (indented),
    @a9d63965f920 bigearthnet-val.csv (no header, line feed); keys and the hour's missing zero: file id 6759629344; values of
    coordinates, tile_source and acquisition_date: a sample quoted in file id 27492826872. The tables bear the names of the
    authors' repository (torchgeo saves them as bigearthnet-<split>.csv). No group:
    docs.kai-tub.tech/ben-docs/patch-distribution puts the patches of each 2 x 2 block of a tile into all three splits.

    Filled in: ids but for their form, values of the radar json, projection (shortened), pixel types, the lost row (a patch that
    exists).
    """
    tables: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for number, (patch, pair, table, labels) in enumerate(V1):
        tables[table].append(f"{patch},{pair}\n")
        optical(root / "BigEarthNet-v1.0" / patch, number, 3e5 + 1200 * number)
        radar(root / "BigEarthNet-S1-v1.0" / pair, 3e5 + 1200 * number)
        corners = {"ulx": 300000, "uly": 5300000, "lrx": 301200, "lry": 5298800}
        told = {"labels": labels, "coordinates": corners, "projection": 'PROJCS["WGS 84 / UTM zone 33N"]'}
        stamp, area = patch.split("_")[2], pair.split("_")[5]
        tile = f"{patch[:3]}_MSIL1C_{stamp}_N0205_R022_T{area}_{stamp}.SAFE"
        seen = {**told, "tile_source": tile, "acquisition_date": f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} 10:10:31"}
        put(root / "BigEarthNet-v1.0" / patch / f"{patch}_labels_metadata.json", json.dumps(seen, indent=4))
        seen = {
            **told,
            "scene_source": pair.rsplit("_", 3)[0],
            "acquisition_time": "2017-06-13 16:50:43",
            "corresponding_s2_patch": patch,
        }
        put(root / "BigEarthNet-S1-v1.0" / pair / f"{pair}_labels_metadata.json", json.dumps(seen, indent=4))
    gone = "S2B_MSIL2A_20170814T100029_33_77"
    tables["train"].append(f"{gone},S1A_IW_GRDH_1SDV_20170813T165046_33UUP_33_77\n")
    for table, lines in tables.items():
        put(root / f"{table}.csv", "".join(lines))
    splits = {"train": "train", "val": "val", "test": "held_out"}
    images = tuple(
        Expected(f"BigEarthNet-v1.0/{patch}", number, present(labels), split=splits[table])
        for number, (patch, _, table, labels) in enumerate(V1)
    )
    return LookAlike(images, rejected=(f"BigEarthNet-v1.0/{gone}",))


EUROSAT = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
CHIPS = [
    ("AnnualCrop_1", "train", 32635, (10.00570688714736, 0.0, 624602.2348443292, 0.0, -9.994088099999352, 4877286.033637)),
    ("AnnualCrop_3000", "test", 32635, (10.00570688714736, 0.0, 625242.6, 0.0, -9.994088099999352, 4877286.033637)),
    ("Forest_1", "train", 32632, (10.005196165071764, 0.0, 533043.6787387297, 0.0, -10.008080018868775, 5567792.427645094)),
    ("HerbaceousVegetation_7", "val", 32632, (10.0, 0.0, 533683.7, 0.0, -10.0, 5567792.4)),
    ("SeaLake_2756", "test", 32632, (10.0, 0.0, 534323.7, 0.0, -10.0, 5567792.4)),
]


@lookalike("eurosat-ms")
def eurosat_ms(root: Path) -> LookAlike:
    """EuroSATallBands.zip: folders and text files as microsoft/torchgeo@720cf5b4349e torchgeo/datasets/eurosat.py; type,
    compression and georeference: torchgeo's own look-alike (file id 58705785874); B8A last: phelber/EuroSAT issue 7, torchgeo
    issue 2458. The authors publish no split: the text files (base names with .jpg, one a line) are a third party's
    (arXiv:1911.06721, at huggingface.co/datasets/torchgeo/eurosat), so no split is told, as for eurosat-rgb.

    Filled in: numbers of the chips, who is in which text file, georeference of three chips, a listed chip that is missing (as
    when the 100-chip demo lies beside the full lists). No group: chips lie side by side in scenes, of which nothing tells.
    """
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    images = []
    for number, (chip, split, epsg, transform) in enumerate(CHIPS):
        name = f"{EUROSAT}/{chip.split('_')[0]}/{chip}.tif"
        levels = [np.full((16, 16), digital_number(number, band), np.uint16) for band in EUROSAT_FILE]
        geotiff(root / name, np.stack(levels), epsg, transform, compress="lzw")
        lists[split].append(f"{chip}.jpg\n")
        images.append(Expected(name, number, {"land_cover": chip.split("_")[0]}))
    lists["val"].append("River_2500.jpg\n")
    for split, lines in lists.items():
        put(root / f"eurosat-{split}.txt", "".join(lines))
    return LookAlike(tuple(images))
