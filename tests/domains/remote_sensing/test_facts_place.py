"""Country, climate and season of a place against lists written by hand, and against borders drawn with other software.

Coordinates of towns are those that any gazetteer gives, to a hundredth of a degree; climate classes those of textbooks.
"""

import numpy as np
import pytest

from domainclip.domains.remote_sensing.scene_facts.arcs import decode_arc, encode_arc
from domainclip.domains.remote_sensing.scene_facts.climate import climate_fact
from domainclip.domains.remote_sensing.scene_facts.country import countries_near, country_fact
from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE
from domainclip.domains.remote_sensing.scene_facts.ground import centroid
from domainclip.domains.remote_sensing.scene_facts.moment import date_fact, season_fact, year_and_month
from domainclip.sample import Geo

TOWNS = """
Nairobi -1.29 36.82 Kenya; Cairo 30.04 31.24 Egypt; Lagos 6.52 3.38 Nigeria; Addis-Ababa 9.03 38.74 Ethiopia
Johannesburg -26.20 28.05 South Africa; Dakar 14.72 -17.47 Senegal; Tamanrasset 22.79 5.53 Algeria
Antananarivo -18.88 47.51 Madagascar
Thaba-Tseka -29.52 28.61 Lesotho; Manzini -26.50 31.38 Eswatini; Kisangani 0.52 25.20 Democratic Republic of the Congo
Timbuktu 16.77 -3.01 Mali; Tifariti 26.16 -10.57 Western Sahara; Luanda -8.84 13.23 Angola; Moundou 8.57 16.08 Chad
London 51.51 -0.13 United Kingdom; Paris 48.86 2.35 France; Madrid 40.42 -3.70 Spain; Warsaw 52.23 21.01 Poland
Kyiv 50.45 30.52 Ukraine; Reykjavik 64.15 -21.94 Iceland; Longyearbyen 78.22 15.65 Norway; Skopje 42.00 21.43 North Macedonia
Palermo 38.12 13.36 Italy; Amsterdam 52.37 4.90 Netherlands; Valletta 35.90 14.51 Malta; Moscow 55.76 37.62 Russia
Nicosia-south 35.03 33.20 Cyprus; Sarajevo 43.86 18.41 Bosnia and Herzegovina
New-York 40.71 -74.01 United States of America; Anchorage 61.22 -149.90 United States of America
Honolulu 21.31 -157.86 United States of America
Toronto 43.65 -79.38 Canada; Iqaluit 63.75 -68.52 Canada; Mexico-City 19.43 -99.13 Mexico; Havana 23.11 -82.37 Cuba
Nuuk 64.18 -51.72 Greenland; San-Juan 18.40 -66.06 Puerto Rico; Managua 12.11 -86.24 Nicaragua; Nassau 25.05 -77.36 Bahamas
Santo-Domingo 18.49 -69.93 Dominican Republic; Brasilia -15.79 -47.88 Brazil; Lima -12.05 -77.04 Peru; Quito -0.18 -78.47 Ecuador
Cordoba -31.42 -64.18 Argentina; Santiago -33.45 -70.67 Chile; Cayenne 4.92 -52.31 France; Bogota 4.71 -74.07 Colombia
Stanley -51.70 -57.86 Falkland Islands; Delhi 28.61 77.21 India; Beijing 39.90 116.41 China; Tokyo 35.68 139.65 Japan
Jakarta -6.21 106.85 Indonesia; Tehran 35.69 51.39 Iran; Riyadh 24.71 46.68 Saudi Arabia; Ulaanbaatar 47.89 106.91 Mongolia
Yakutsk 62.03 129.73 Russia; Anadyr 64.73 177.51 Russia; Uelen 66.16 -169.81 Russia; Amguema 67.04 -178.87 Russia
Colombo 6.93 79.86 Sri Lanka; Manila 14.60 120.98 Philippines; Taipei 25.03 121.57 Taiwan; Pristina 42.66 21.17 Kosovo
Sydney -33.87 151.21 Australia; Alice-Springs -23.70 133.88 Australia; Auckland -36.85 174.76 New Zealand; Suva -18.12 178.44 Fiji
Taveuni -16.85 -179.97 Fiji; Port-Moresby -9.44 147.18 Papua New Guinea; Noumea -22.27 166.44 New Caledonia
Vostok -78.46 106.84 Antarctica; McMurdo -77.85 166.67 Antarctica; South-Pole -90.00 0.00 Antarctica
"""
# Across a border of the table within 5 km, or an enclave smaller than that.
BORDERS = """
Rome 41.90 12.48 Italy,Vatican City; Maseru -29.31 27.48 Lesotho,South Africa; Geneva 46.20 6.14 France,Switzerland
Kinshasa -4.32 15.31 Democratic Republic of the Congo,Republic of the Congo; Strasbourg 48.57 7.78 France,Germany
Tijuana 32.53 -117.02 Mexico,United States of America; Vientiane 17.96 102.61 Laos,Thailand; Lome 6.13 1.22 Ghana,Togo
Jerusalem 31.78 35.22 Israel,Palestine; Monaco 43.74 7.42 France,Monaco
"""


def places(text):
    for line in (part.strip() for part in text.replace("\n", ";").split(";")):
        if line:
            name, latitude, longitude, rest = line.split(" ", 3)
            yield pytest.param(float(longitude), float(latitude), rest, id=name)


def test_the_list_is_long_and_of_all_continents():
    assert len(list(places(TOWNS))) >= 50


@pytest.mark.parametrize(("longitude", "latitude", "country"), places(TOWNS))
def test_towns_lie_in_their_countries(longitude, latitude, country):
    assert country_fact((longitude, latitude)).words == {"country": country}


@pytest.mark.parametrize(("longitude", "latitude", "countries"), places(BORDERS))
def test_near_a_border_nothing_is_said_and_why_is(longitude, latitude, countries):
    fact = country_fact((longitude, latitude))
    assert fact.words == {} and fact.absent == f"within 5 km of a border: {', '.join(countries.split(','))}"


@pytest.mark.parametrize(("longitude", "latitude"), [(-30, 0), (0, 90), (180, -45), (-179.5, -45), (75, -20), (-40, 45)])
def test_the_open_sea_is_no_country(longitude, latitude):
    assert countries_near(longitude, latitude) == () and "no land" in country_fact((longitude, latitude)).absent


def test_disputed_areas_are_as_natural_earth_draws_them():
    """By who holds them: no opinion of ours, and not everybody's."""
    assert countries_near(-13.20, 27.15) == ("Morocco",) and countries_near(34.10, 44.95) == ("Russia",)
    assert countries_near(33.36, 35.25) == ("Northern Cyprus",) and countries_near(44.06, 9.56) == ("Somaliland",)


def test_the_same_place_on_another_turn_of_the_globe():
    assert countries_near(540.0, 68.0) == countries_near(-180.0, 68.0) == countries_near(180.0, 68.0) == ("Russia",)


def test_a_place_that_is_none_is_refused():
    for place in ((0.0, 91.0), (float("nan"), 0.0)):
        with pytest.raises(ValueError, match="no place"):
            countries_near(*place)
        with pytest.raises(ValueError, match="no place"):
            climate_fact(place)
    assert country_fact(None).absent == climate_fact(None).absent == NO_PLACE


def test_the_disc_is_5_km_wide_on_the_ground_at_any_latitude():
    """From the border of the 49th parallel (drawn 0.8 km south of it) and of 25 E (Egypt and Libya; 2 km west of it)."""
    degree = 111.2
    assert len(countries_near(-104.0, 48.9924 + 4.5 / degree)) == 2 and countries_near(-104.0, 48.9924 + 5.5 / degree) == (
        "Canada",
    )
    wide = degree * np.cos(np.radians(28.0))
    assert countries_near(24.9788 + 5.5 / wide, 28.0) == ("Egypt",) and len(countries_near(24.9788 + 4.5 / wide, 28.0)) == 2


def test_rings_of_the_table_agree_with_areas_of_countries():
    """Shapely's and PROJ's areas of the decoded table against published ones (km2): no ring is lost or turned over."""
    import pyproj
    from shapely.geometry import Polygon

    from domainclip.domains.remote_sensing.scene_facts.country import _table

    geod, areas = pyproj.Geod(ellps="WGS84"), {}
    tree, names = _table()
    for name, part in zip(names, tree.geometries, strict=True):
        assert isinstance(part, Polygon) and part.is_valid
        areas[name] = areas.get(name, 0) + abs(geod.geometry_area_perimeter(part)[0]) / 1e6
    known = {"Russia": 17.1e6, "South Africa": 1.22e6, "Lesotho": 30355, "Fiji": 18270, "Antarctica": 13.7e6, "Italy": 301_340,
             "Kazakhstan": 2.72e6, "Brazil": 8.51e6, "Australia": 7.69e6, "Mongolia": 1.564e6, "Switzerland": 41_285}  # fmt: skip
    for name, area in known.items():
        assert areas[name] == pytest.approx(area, rel=0.12 if name in {"Antarctica", "Fiji"} else 0.03), name


def test_arcs_survive_text():
    steps = [[0, 0], [-1, 1], [31, -32], [92 - 48, 44], [100_000, -99_999], [15, 16], [511, -512]]
    text = encode_arc(steps)
    assert "\\" not in text and '"' not in text and text.isascii()
    np.testing.assert_array_equal(decode_arc(text), np.cumsum(steps, axis=0))
    for number in range(-3000, 3000):
        assert decode_arc(encode_arc([[number, -number]])).tolist() == [[number, -number]]


# Beck et al. 2018 has a zone of its own for each; classes as climatology textbooks give them for these places.
CLIMATES = """
Singapore 1.35 103.82 Af; Manaus -3.10 -60.02 Af; Kuala-Lumpur 3.14 101.69 Af; Iquitos -3.75 -73.25 Af; Brasilia -15.79 -47.88 Aw
Conakry-inland 9.80 -13.30 Am; Bangkok 13.90 100.50 Aw; Khartoum 15.55 32.53 BWh; Riyadh 24.71 46.68 BWh; Cairo 30.00 31.40 BWh
Phoenix 33.45 -112.07 BWh; Alice-Springs -23.70 133.88 BWh; Niamey 13.51 2.11 BSh; Denver 39.74 -104.99 BSk
Turpan 42.95 89.19 BWk
Rome 41.90 12.50 Csa; Athens 37.98 23.73 Csa; Perth -31.95 115.95 Csa; Portland 45.52 -122.68 Csb; Porto 41.20 -8.30 Csb
Chengdu 30.66 104.07 Cwa; Mexico-City 19.43 -99.13 Cwb; Addis-Ababa 9.03 38.74 Cwb; Johannesburg -26.20 28.05 Cwb
Atlanta 33.75 -84.39 Cfa; Tokyo 35.69 139.60 Cfa; Buenos-Aires -34.70 -58.50 Cfa; London 51.50 -0.12 Cfb; Paris 48.86 2.35 Cfb
Melbourne -37.81 145.10 Cfb; Seoul 37.57 126.98 Dwa; Harbin 45.80 126.53 Dwa; Chicago 41.90 -87.80 Dfa; Moscow 55.75 37.62 Dfb
Winnipeg 49.90 -97.14 Dfb; Fairbanks 64.84 -147.72 Dfc; Arkhangelsk 64.54 40.54 Dfc
Yakutsk 62.03 129.73 Dfd; Irkutsk 52.29 104.28 Dwc
Longyearbyen 78.22 15.65 ET; Nuuk 64.20 -51.40 ET; Summit 72.58 -38.46 EF; Vostok -78.46 106.84 EF
"""


@pytest.mark.parametrize(("longitude", "latitude", "zone"), places(CLIMATES))
def test_climates_of_known_places(longitude, latitude, zone):
    fact = climate_fact((longitude, latitude))
    assert fact.words == {"climate": zone} and "CC BY 4.0" in fact.attribution


def test_climate_says_when_it_does_not_know():
    assert climate_fact((-30.0, 0.0)).absent == "no land in the map there"
    assert climate_fact((86.93, 27.99)).absent == "several climate zones meet there"  # Mount Everest


def test_every_zone_has_words():
    from domainclip.domains.remote_sensing import DOMAIN
    from domainclip.domains.remote_sensing.scene_facts.climate import ZONES

    assert len(set(ZONES)) == 30 and set(DOMAIN.facts.labels["climate"]) == set(ZONES)


def test_the_middle_counts_and_not_the_first_corner():
    """RS5M's defect: a scene whose upper-left corner lies in France and whose middle in Germany is of Germany."""
    geo = Geo("EPSG:4326", (0.002, 0.0, 7.4, 0.0, -0.002, 48.9))
    middle = centroid(geo, (400, 1000))
    assert middle == pytest.approx((8.4, 48.5)) and country_fact(middle).words == {"country": "Germany"}
    assert country_fact(centroid(geo, (1, 1))).words == {"country": "France"}


def test_a_middle_outside_of_the_projection_is_no_place():
    far = Geo("+proj=ortho +lat_0=0 +lon_0=0 +datum=WGS84 +type=crs", (10.0, 0.0, 9e6, 0.0, -10.0, 9e6))
    assert centroid(far, (10, 10)) is None


def test_the_middle_of_a_scene_over_the_date_line():
    import rasterio.warp

    geo = Geo("EPSG:32601", (100.0, 0.0, 300_000.0, 0.0, -100.0, 8_150_000.0))
    middle = centroid(geo, (200, 200))
    told = rasterio.warp.transform(geo.crs, "EPSG:4326", [310_000.0], [8_140_000.0])
    assert middle == pytest.approx((told[0][0], told[1][0]), abs=1e-9)
    wide = centroid(Geo("EPSG:4326", (0.1, 0.0, 179.0, 0.0, -0.1, -16.0)), (10, 20))
    assert wide == pytest.approx((-180.0, -16.5))


@pytest.mark.parametrize(
    ("time", "latitude", "name"),
    [
        ("2019-01-15", 52.0, "winter"), ("2019-01-15", -34.0, "summer"), ("2019-04-30T10:00:00", -34.0, "autumn"),
        ("2019-04-30", 52.0, "spring"), ("2019-07-01", -34.0, "winter"), ("2019-12-31", -34.0, "summer"),
        ("2019-11-30", 52.0, "autumn"), ("2019-12", 52.0, "winter"), ("20190901T101031", -45.0, "spring"),
        ("2019-07-01", 0.0, None), ("2019-07-01", 23.0, None), ("2019-07-01", -23.0, None),
    ],
)  # fmt: skip
def test_seasons_by_hemisphere(time, latitude, name):
    """RS5M knows the north's only."""
    assert season_fact(time, (20.0, latitude)).words.get("season") == name


def test_dates_are_told_to_the_month():
    assert date_fact("2017-09-18T11:43:21Z").words == {"year": "2017", "month": "September", "date": "September 2017"}
    assert date_fact("2017").words == {"year": "2017"} and season_fact("2017", (0.0, 50.0)).absent
    assert date_fact(None).absent == season_fact(None, (0.0, 50.0)).absent == "no acquisition time is known"
    assert season_fact("2017-05", None).absent == NO_PLACE
    for wrong in ("18/09/2017", "2017-13-01", "yesterday", "20171"):
        with pytest.raises(ValueError, match="ISO 8601"):
            year_and_month(wrong)
        assert "no ISO 8601 date" in date_fact(wrong).absent and "no ISO 8601 date" in season_fact(wrong, (0.0, 50.0)).absent
