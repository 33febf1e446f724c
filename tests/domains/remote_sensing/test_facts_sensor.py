"""Sensor and ground sampling distance in words; distances against the haversine formula."""

import numpy as np
import pytest

from domainclip.domains.remote_sensing.scene_facts.sensor_words import gsd_fact, length_words, sensor_fact
from domainclip.domains.remote_sensing.sensors import sensors
from domainclip.sample import Geo, Spacing

SHAPE = (100, 200)
UTM = Geo("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0))


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("sentinel-2", "Sentinel-2"), ("sentinel-1", "Sentinel-1"), ("landsat-8-9", "Landsat 8/9"),
        ("landsat-8-9-l1", "Landsat 8/9"), ("landsat-5", "Landsat 5"), ("naip", "NAIP"), ("planetscope", "PlanetScope"),
        ("hls-s30", "Harmonized Landsat and Sentinel-2"),
    ],
)  # fmt: skip
def test_sensors_in_words(family, words):
    assert sensor_fact(family).words == {"sensor": words}


def test_every_family_of_the_tables_has_words():
    assert all(sensor_fact(entry.family).words for entry in sensors().values())


def test_an_unknown_sensor_is_said():
    assert sensor_fact(None).absent == "no sensor is known"
    assert "sentinel-22" in sensor_fact("sentinel-22").absent and sensor_fact("drone").words == {}


@pytest.mark.parametrize(
    ("metres", "words"),
    [(10, "10 m"), (9.996, "10 m"), (0.6, "60 cm"), (0.075, "7.5 cm"), (0.999, "1 m"), (30, "30 m"), (463.3, "460 m"),
     (999.9, "1 km"), (1.5, "1.5 m"), (0.003, "3 mm")],
)  # fmt: skip
def test_lengths_as_people_say_them(metres, words):
    assert length_words(metres) == words


def test_ground_distance_of_utm():
    assert gsd_fact(Spacing((10.0, 10.0), "m", "geotransform"), UTM, SHAPE).words == {"gsd": "10 m"}


def haversine(lat0, lon0, lat1, lon1):
    lat0, lon0, lat1, lon1 = map(np.radians, (lat0, lon0, lat1, lon1))
    h = np.sin((lat1 - lat0) / 2) ** 2 + np.cos(lat0) * np.cos(lat1) * np.sin((lon1 - lon0) / 2) ** 2
    return 2 * 6_371_000 * np.arcsin(np.sqrt(h))


def test_degrees_are_measured_on_the_ground():
    geo = Geo("EPSG:4326", (0.0001, 0.0, 10.0, 0.0, -0.0001, 60.005))
    fact = gsd_fact(Spacing((0.0001, 0.0001), "degree", "geotransform"), geo, SHAPE)
    assert fact.words == {"gsd": "11 m by 5.6 m"}
    assert fact.numbers["gsd_m"] == pytest.approx([haversine(60, 10, 60.0001, 10), haversine(60, 10, 60, 10.0001)], rel=5e-3)


def test_web_mercator_stretches():
    """At 60 degrees north a metre of Web Mercator is half a metre on the ground."""
    y = 8_399_737.9  # 60 N
    geo = Geo("EPSG:3857", (10.0, 0.0, 1_000_000.0, 0.0, -10.0, y + 500))
    fact = gsd_fact(Spacing((10.0, 10.0), "m", "geotransform"), geo, SHAPE)
    assert fact.words == {"gsd": "5 m"} and fact.numbers["gsd_m"][0] == pytest.approx(5.0, rel=0.01)


def test_the_owners_spacing_wins_and_none_is_said():
    assert gsd_fact(Spacing((300.0, 300.0), "mm", "manifest"), UTM, SHAPE).words == {"gsd": "30 cm"}
    assert gsd_fact(Spacing((0.5, 0.5), "m", "manifest"), None, SHAPE).words == {"gsd": "50 cm"}
    for spacing in (None, Spacing((1.0, 1.0), "degree", "x")):
        assert gsd_fact(spacing, None, SHAPE).absent == "no size of a pixel on the ground is known"
