"""Counted and placed objects: pieces of masks by hand and by OpenCV, grids and compass by hand, words by hand."""

import math

import numpy as np
import pytest

from domainclip.domains.remote_sensing.scene_facts.nouns import counted, listed, plural, singular, spoken
from domainclip.domains.remote_sensing.scene_facts.objects import (
    Placed,
    boxes_of_mask,
    compass_words,
    objects_fact,
    objects_of_masks,
    objects_of_regions,
    picture_words,
)
from domainclip.errors import UsageError
from domainclip.sample import Geo, Pixels, Region, Sample, Values, Window

SHAPE = (90, 90)
NORTH_UP = Geo("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0))
SOUTH_UP = Geo("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, 10.0, 5_000_000.0))


def turned(degrees):
    """North-up, turned: the picture's top shows ``degrees`` east of north."""
    a = math.radians(degrees)
    return Geo("EPSG:32633", (10 * math.cos(a), 10 * math.sin(a) * -1, 5e5, -10 * math.sin(a), -10 * math.cos(a), 5e6))


def sample(geo=None, window=None):
    return Sample("s", "CYX", ("red",), Values("dn"), lambda: Pixels(np.zeros((1, *SHAPE))), geo=geo, window=window)


def square(left, top, side, name="storage tank"):
    corners = ((left, top), (left + side, top), (left + side, top + side), (left, top + side))
    return Region(corners, {"land_cover": name})


def test_pieces_of_a_mask_worked_by_hand():
    mask = np.array([
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 1],
        [1, 0, 0, 1, 0, 1],
    ])  # fmt: skip
    assert boxes_of_mask(mask) == [(0, 0, 3, 2), (5, 1, 6, 4), (0, 3, 1, 4), (3, 3, 4, 4)], "corners join"
    assert boxes_of_mask(mask, smallest_px=2) == [(0, 0, 3, 2), (5, 1, 6, 4)]
    assert boxes_of_mask(np.zeros((3, 3))) == []
    with pytest.raises(ValueError, match="two axes"):
        boxes_of_mask(np.zeros((1, 3, 3)))


def test_pieces_agree_with_opencv():
    import cv2

    mask = (np.random.default_rng(5).random((200, 300)) < 0.3).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    wanted = sorted((x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist())
    assert sorted(boxes_of_mask(mask)) == wanted and len(wanted) > 100


def test_masks_become_a_caption():
    tanks = np.zeros(SHAPE, bool)
    for column in (2, 10, 20):
        tanks[5:9, column : column + 4] = True
    ship = np.zeros(SHAPE, bool)
    ship[70:80, 40:50] = True
    fact = objects_fact(objects_of_masks({"storage_tank": tanks, "Ship": ship}), None, SHAPE)
    assert fact.words == {"objects": "three storage tanks and a ship"} and fact.numbers == {
        "objects": {"storage tank": 3, "ship": 1}
    }
    (caption,) = fact.captions
    assert caption.text == "an overhead image with three storage tanks in the upper left and a ship at the bottom"
    assert (caption.origin, caption.language, caption.generator) == ("tag", "en", "domainclip.scene_facts/1")


def test_nothing_there_makes_no_caption():
    """RemoteCLIP's templates can say that there is no thing; here what is not there is not told."""
    fact = objects_fact([], NORTH_UP, SHAPE)
    assert fact.words == {} and fact.captions == () and fact.numbers == {"objects": {}} and fact.absent
    with pytest.raises(ValueError, match="one or more"):
        counted("ship", 0)


def test_more_kinds_than_a_sentence_holds_are_counted_alone():
    things = [Placed(f"thing {letter}", 0.5, 0.5) for letter in "abcdefghi"]
    fact = objects_fact(things, None, SHAPE)
    assert fact.captions == () and fact.numbers["objects"] == {f"thing {letter}": 1 for letter in "abcdefghi"}


@pytest.mark.parametrize(
    ("column", "row", "words"),
    [(0.1, 0.1, "in the upper left"), (0.5, 0.1, "at the top"), (0.9, 0.1, "in the upper right"), (0.1, 0.5, "on the left"),
     (0.5, 0.5, "in the centre"), (0.9, 0.5, "on the right"), (0.1, 0.9, "in the lower left"), (0.5, 1.0, "at the bottom"),
     (1.0, 1.0, "in the lower right"), (0.3333, 0.3334, "on the left"), (0.0, 0.0, "in the upper left")],
)  # fmt: skip
def test_places_in_the_picture(column, row, words):
    assert picture_words(Placed("ship", column, row)) == words


@pytest.mark.parametrize(
    ("geo", "words"),
    [(NORTH_UP, "in the north-west"), (SOUTH_UP, "in the south-west"), (turned(90), "in the north-east"),
     (turned(180), "in the south-east"), (turned(-45), "in the west"), (turned(45), "in the north"), (None, None)],
)  # fmt: skip
def test_the_compass_is_read_on_the_ground(geo, words):
    """The upper left of a picture is north-west only when north is up."""
    assert compass_words(Placed("ship", 0.1, 0.1), geo, SHAPE) == words


def test_the_compass_agrees_with_pyproj_for_every_place_of_a_turned_raster():
    import pyproj

    geo = turned(77)
    a, b, c, d, e, f = geo.transform
    to_degrees = pyproj.Transformer.from_crs(geo.crs, "EPSG:4326", always_xy=True)
    winds = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
    middle = to_degrees.transform(a * 45 + b * 45 + c, d * 45 + e * 45 + f)
    for column, row in ((0.1, 0.2), (0.9, 0.15), (0.95, 0.8), (0.2, 0.9), (0.05, 0.5)):
        there = to_degrees.transform(a * column * 90 + b * row * 90 + c, d * column * 90 + e * row * 90 + f)
        azimuth, _, _ = pyproj.Geod(ellps="WGS84").inv(*middle, *there)
        assert compass_words(Placed("x", column, row), geo, SHAPE) == f"in the {winds[round(azimuth / 45) % 8]}"


def test_captions_name_the_compass_only_with_a_place():
    things = [Placed("ship", 0.1, 0.1)]
    assert [c.text for c in objects_fact(things, None, SHAPE).captions] == ["an overhead image with a ship in the upper left"]
    assert [c.text for c in objects_fact(things, SOUTH_UP, SHAPE).captions] == [
        "an overhead image with a ship in the upper left",
        "an overhead image with a ship in the south-west",
    ]


def test_where_picture_and_compass_say_the_same_there_is_one_caption():
    assert len(objects_fact([Placed("ship", 0.5, 0.5)], NORTH_UP, SHAPE).captions) == 1


def test_many_regions_and_windows_agree_with_shapely():
    """Which regions count, and that another set of regions is not taken for the last one."""
    from shapely.geometry import Polygon, box

    draw = np.random.default_rng(8)
    for number in range(3):
        regions = tuple(square(x, y, side, f"thing {number}") for x, y, side in draw.uniform([0, 0, 2], [400, 400, 60], (200, 3)))
        for x, y in ((0, 0), (130, 77), (310, 310)):
            window = box(x, y, x + 90, y + 90)
            shapes = [Polygon(region.polygon) for region in regions]
            wanted = [shape for shape in shapes if shape.intersection(window).area >= shape.area / 2]
            found = objects_of_regions(regions, sample(window=Window(x, y, 90, 90)), SHAPE, None, "land_cover")
            assert len(found) == len(wanted) and {thing.name for thing in found} == {f"thing {number}"}
            for thing, shape in zip(found, wanted, strict=True):
                left, top, right, bottom = shape.intersection(window).bounds
                assert (thing.column * 90 + x, thing.row * 90 + y) == pytest.approx(((left + right) / 2, (top + bottom) / 2))


def test_regions_count_when_half_of_them_is_inside():
    window = Window(100, 100, 90, 90)
    regions = [square(110, 110, 10), square(95, 120, 10), square(94, 140, 10), square(300, 300, 10), square(185, 185, 10)]
    found = objects_of_regions(regions, sample(window=window), SHAPE, None, "land_cover")
    assert [(thing.name, round(thing.column * 90, 3), round(thing.row * 90, 3)) for thing in found] == [
        ("storage tank", 15.0, 15.0),
        ("storage tank", 2.5, 25.0),  # just half, placed by what is visible
    ]


def test_regions_follow_the_windows_resampling():
    (thing,) = objects_of_regions([square(110, 110, 20)], sample(window=Window(100, 100, 180, 180)), SHAPE, None, "land_cover")
    assert (thing.column * 90, thing.row * 90) == pytest.approx((10.0, 10.0))


def test_regions_in_the_files_crs_and_in_another():
    import rasterio.warp

    corner = (500_000 + 600, 5_000_000 - 600)
    region = square(*corner, 100)
    (thing,) = objects_of_regions([region], sample(NORTH_UP), SHAPE, "EPSG:32633", "land_cover")
    assert (thing.column * 90, thing.row * 90) == pytest.approx((65, 55))
    longitudes, latitudes = rasterio.warp.transform("EPSG:32633", "EPSG:4326", *zip(*region.polygon, strict=True))
    moved = Region(tuple(zip(longitudes, latitudes, strict=True)), region.labels)
    (again,) = objects_of_regions([moved], sample(NORTH_UP), SHAPE, "EPSG:4326", "land_cover")
    assert (again.column, again.row) == pytest.approx((thing.column, thing.row), abs=1e-4)


def test_a_region_is_named_by_its_class_or_its_only_label():
    region = Region(square(10, 10, 10).polygon, {"object": "Storage_Tanks"})
    assert objects_of_regions([region], sample(), SHAPE, None, "land_cover")[0].name == "storage tank"
    for labels in ({}, {"colour": "red", "object": "ship"}):
        with pytest.raises(UsageError, match="land_cover"):
            objects_of_regions([Region(region.polygon, labels)], sample(), SHAPE, None, "land_cover")


@pytest.mark.parametrize(
    ("one", "several"),
    [("storage tank", "storage tanks"), ("bus", "buses"), ("church", "churches"), ("factory", "factories"), ("quay", "quays"),
     ("box", "boxes"), ("person", "people"), ("body of water", "bodies of water"), ("aircraft", "aircraft"), ("house", "houses"),
     ("warehouse", "warehouses"), ("railway works", "railway works"), ("roof", "roofs"), ("grass", "grass"), ("campus", "campuses"),
     ("airbus", "airbuses"), ("tennis court", "tennis courts"), ("bridge", "bridges"), ("runway", "runways"),
     ("silo", "silos"), ("industrial area", "industrial areas"), ("lighthouse", "lighthouses"), ("waterworks", "waterworks")],
)  # fmt: skip
def test_plurals_and_back(one, several):
    assert plural(one) == several and singular(several) == one and singular(one) == one


def test_every_name_of_a_mapped_tag_survives_its_plural():
    from domainclip.domains.remote_sensing.scene_facts.osm_table import tag_names

    names = {name for values in tag_names().values() for name in values.values()}
    assert len(names) > 100 and [name for name in names if singular(name) != name or singular(plural(name)) != name] == []


def test_counts_in_words():
    assert [counted("ship", n) for n in (1, 2, 12, 13)] == ["a ship", "two ships", "twelve ships", "13 ships"]
    assert counted("aircraft", 1) == "an aircraft" and counted("Storage_Tanks", 3) == "three storage tanks"
    assert counted("farmland", 4) == "farmland" and counted("university campus", 1) == "a university campus"
    assert counted("body of water", 1) == "a body of water" and counted("rows of trees", 2) == "two rows of trees"
    assert spoken("USGS_station") == "USGS station"
    assert [listed(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_objects_of_a_file_through_the_reader(write_raster, cut):
    array = np.random.default_rng(0).integers(0, 255, (3, 128, 128)).astype(np.uint8)
    path = write_raster(array, colours=("red", "green", "blue"), crs="EPSG:32633", transform=NORTH_UP.transform)
    tanks = [square(500_000 + 10 * x, 5_000_000 - 10 * y - 50, 50, "storage_tank") for x, y in ((2, 2), (10, 4), (70, 70))]
    samples = cut(path, regions=tanks, facts=("objects",))
    assert len(samples) == 4, "objects choose no windows"
    assert [s.labels.get("objects") for s in samples] == ["two storage tanks", None, None, "a storage tank"]
    assert samples[0].captions[1].text == "an overhead image with two storage tanks in the north-west"
    assert samples[1].meta["facts_absent"] == {"objects": "no annotated object lies in it"}
