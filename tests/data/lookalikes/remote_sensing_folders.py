"""Look-alikes of remote-sensing sets in folders of classes."""

from __future__ import annotations

import json
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, lookalike, picture, put

# Split, place, moment, rendering, picture: the two renderings of one moment, one place at several moments, a hyphenated category.
MOMENTS = [
    ("train", "helipad_373", 3, "rgb", 0),
    ("train", "helipad_373", 4, "rgb", 1),
    ("train", "stadium_211", 3, "rgb", 2),
    ("train", "stadium_211", 3, "msrgb", 60),
    ("train", "multi-unit_residential_12", 0, "rgb", 3),
    ("val", "helipad_107", 3, "rgb", 4),
    ("val", "airport_hangar_8", 1, "rgb", 5),
    ("val", "airport_hangar_8", 1, "msrgb", 61),
]


@lookalike("fmow")
def fmow(root: Path) -> LookAlike:
    """fMoW-rgb: path github.com/fMoW/dataset issue 19, microsoft/torchgeo@56fca6350868 torchgeo/datasets/fmow.py; keys of the
    json and a single object in place of a list: fMoW/baseline@54378a745803 code/data_ml_functions/dataFunctions.py; msrgb:
    om-ai-lab/RS5M@bb57a64ad4e5 rs3_dump.csv. As baseline and torchgeo have it, only _rgb is read: _msrgb renders the same
    moment, so it is neither an image nor a loss. Places are numbered anew in each split (train/airport/airport_0 and
    val/airport/airport_0), test has no folders of categories (test/0011978/0011978_0_rgb.jpg): file id 18092768989.

    Filled in: all values of the json, numbers of the places but those of helipad and stadium. Left out: seq (not seen).
    """
    images = []
    for split, place, moment, rendering, number in MOMENTS:
        category = place.rsplit("_", 1)[0]
        stem = f"{split}/{category}/{place}/{place}_{moment}_{rendering}"
        box = {"ID": 0, "category": category, "box": [2, 3, 9, 8]}
        told = {"gsd": 0.5, "utm": "18T", "cloud_cover": 7, "timestamp": "2016-07-01T15:43:52Z", "scan_direction": "Forward"}
        told |= {
            f"{key}_dbl": 30.5 for key in ("pan_resolution", "multi_resolution", "target_azimuth", "sun_azimuth", "sun_elevation")
        }
        told |= {"off_nadir_angle_dbl": 12.25, "img_width": 16, "img_height": 16}
        told["bounding_boxes"] = box if number == 4 else [box]
        picture(root / f"{stem}.jpg", number)
        put(root / f"{stem}.json", json.dumps(told))
        if rendering == "rgb":
            images.append(Expected(f"{stem}.jpg", number, {"land_cover": category}, group=f"{split}/{place}", split=split))
    hidden = "test/0011978/0011978_0_rgb.jpg"
    picture(root / hidden, 6)
    images.append(Expected(hidden, 6, group="test/0011978", split="held_out"))
    return LookAlike(tuple(images))


@lookalike("million-aid")
def million_aid(root: Path) -> LookAlike:
    """The two paths in a test of a port (file id 68599078738), which fit microsoft/torchgeo@02ea85b5fe16
    torchgeo/datasets/millionaid.py (two or three levels below train); names of the form P<7 digits>.jpg:
    om-ai-lab/RS5M@bb57a64ad4e5 rs3_dump.csv.

    Filled in: the numbers in the names. Left out: test, whose real layout was not seen, and all classes whose branch was not
    seen.
    """
    names = [
        "train/agriculture_land/grassland/meadow/P0000017.jpg",
        "train/agriculture_land/grassland/meadow/P0004002.jpg",
        "train/water_area/beach/P0000345.jpg",
        "train/water_area/beach/P0173410.jpg",
    ]
    for number, name in enumerate(names):
        picture(root / name, number)
    return LookAlike(
        tuple(Expected(name, n, {"land_cover": Path(name).parent.name}, split="train") for n, name in enumerate(names))
    )


MLRSNET = [
    "airplane",
    "airport",
    "bare soil",
    "baseball diamond",
    "basketball court",
    "beach",
    "bridge",
    "buildings",
    "cars",
    "chaparral",
    "cloud",
    "containers",
    "crosswalk",
    "dense residential area",
    "desert",
    "dock",
    "factory",
    "field",
    "football field",
    "forest",
    "freeway",
    "golf course",
    "grass",
    "greenhouse",
    "gully",
    "habor",
    "intersection",
    "island",
    "lake",
    "mobile home",
    "mountain",
    "overpass",
    "park",
    "parking lot",
    "parkway",
    "pavement",
    "railway",
    "railway station",
    "river",
    "road",
    "roundabout",
    "runway",
    "sand",
    "sea",
    "ships",
    "snow",
    "snowberg",
    "sparse residential area",
    "stadium",
    "swimming pool",
    "tanks",
    "tennis court",
    "terrace",
    "track",
    "trail",
    "transmission tower",
    "trees",
    "water",
    "wetland",
    "wind turbine",
]
SCENES = [
    ("airplane_00001", ["airplane", "airport", "buildings", "cars", "pavement", "trees"]),
    ("airplane_00026", ["airplane", "bare soil", "pavement"]),
    ("airplane_00033", ["airplane", "pavement", "runway"]),
    ("harbor&port_00001", ["habor", "ships", "dock", "water"]),
    ("swimmimg_pool_00002", ["swimming pool", "dense residential area", "mobile home"]),
]


@lookalike("mlrsnet")
def mlrsnet(root: Path) -> LookAlike:
    """cugbrs/MLRSNet@2ef24025cc84 labels/airplane.csv (header, first rows, gaps in the numbers) and the list of files of
    labels/; folders of pictures: preparation notes of a third party (file id 19212194853). One category's rar is not unpacked,
    as happens with 46 of them: its rows lead nowhere. The category (folder) is the single label of zero-shot peers.

    Filled in: names of the files of harbor&port and swimmimg_pool (form of airplane), their header (taken as equal), the labels
    of all rows, line ends. Left out: Categories_names.xlsx.
    """
    rows: dict[str, list[str]] = {}
    images = []
    for number, (scene, labels) in enumerate(SCENES):
        category = scene.rsplit("_", 1)[0]
        name = f"Images/{category}/{scene}.jpg"
        picture(root / name, number)
        rows.setdefault(category, []).append(",".join([f"{scene}.jpg", *(str(int(label in labels)) for label in MLRSNET)]))
        told = {label.replace(" ", "_"): "present" if label in labels else "absent" for label in MLRSNET}
        images.append(Expected(name, number, {"land_cover": category, **told}))
    rows["railway_station"] = [",".join(["railway_station_00001.jpg", *("0" * len(MLRSNET))])]
    for category, lines in rows.items():
        put(root / "labels" / f"{category}.csv", "\n".join([",".join(["image", *MLRSNET]), *lines, ""]))
    return LookAlike(tuple(images), rejected=("Images/railway_station/railway_station_00001.jpg",))


@lookalike("whu-rs19")
def whu_rs19(root: Path) -> LookAlike:
    """airport/airport_01.jpg and beach/beach-01.jpg as preparation notes show them (file id 19212194853), read as
    isaaccorley/torchrs@5c271a4b0344 torchrs/datasets/whu_rs19.py reads it: class folders right below the root.

    Filled in: the file names of forest and viaduct. Left out: football field and railway station, whose folders' spelling was
    not seen.
    """
    names = ["airport/airport_01.jpg", "airport/airport_02.jpg", "beach/beach-01.jpg", "beach/beach-02.jpg"]
    names += ["forest/forest_01.jpg", "viaduct/viaduct-01.jpg"]
    for number, name in enumerate(names):
        picture(root / name, number)
    return LookAlike(tuple(Expected(name, n, {"land_cover": name.split("/")[0]}) for n, name in enumerate(names)))
