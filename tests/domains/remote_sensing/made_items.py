"""STAC items as their publishers write them, with their rasters beside them."""

import json

import numpy as np
from made_products import NUMBER, S2_10, S2_20, S2_60, S2_L2A, flat, write

RES = dict.fromkeys(S2_10, 10) | dict.fromkeys(S2_20, 20) | dict.fromkeys(S2_60, 60)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
COMMON = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
}  # fmt: skip


def item(assets, version="1.0.0", **properties):
    told = {"datetime": "2022-06-12T10:56:21.024Z", "platform": "sentinel-2a", "constellation": "sentinel-2"} | properties
    geometry = {"type": "Polygon", "coordinates": [[[4, 43], [5, 43], [5, 44], [4, 44], [4, 43]]]}
    return {
        "type": "Feature", "stac_version": version, "id": "S2A_31TFJ_20220612_0_L2A", "geometry": geometry, "bbox": [4, 43, 5, 44],
        "properties": told, "assets": assets, "links": [], "collection": "sentinel-2-l2a",
    }  # fmt: skip


def put(folder, told, name="item.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(told))
    return folder / name


def earth_search(folder, *, applied=True, offset=-0.1, jp2=True, href="./{}.tif", baseline="04.00", **properties):
    """Element 84's sentinel-2-l2a, version 1 of Earth Search."""
    assets = {"thumbnail": {"href": "https://e84/thumb.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}}
    for band, key in COMMON.items():
        write(folder / f"{key}.tif", flat(NUMBER[band], RES[band]), RES[band])
        numbers = {"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "spatial_resolution": RES[band], "scale": 0.0001}
        common = key if key not in {"rededge1", "rededge2", "rededge3"} else "rededge"
        assets[key] = {
            "href": href.format(key), "type": COG, "roles": ["data", "reflectance"], "raster:bands": [numbers | {"offset": offset}],
            "eo:bands": [{"name": key, "common_name": common, "center_wavelength": 0.5}],
        }  # fmt: skip
        if jp2:
            assets[f"{key}-jp2"] = assets[key] | {"href": f"s3://sentinel-s2-l2a/{band}.jp2", "type": "image/jp2"}
    write(folder / "scl.tif", flat(4, 20, "uint8"), 20, nodata=0)
    assets["scl"] = {"href": "./scl.tif", "type": COG, "roles": ["data", "reflectance"], "raster:bands": [{"nodata": 0}]}
    write(folder / "aot.tif", flat(77, 20), 20)
    assets["aot"] = {"href": "./aot.tif", "type": COG, "roles": ["data", "reflectance"], "raster:bands": [{"scale": 0.001}]}
    write(folder / "visual.tif", np.stack([flat(9, 10, "uint8")] * 3), 10, photometric="RGB")
    bands = [{"name": name, "common_name": name} for name in ("red", "green", "blue")]
    assets["visual"] = {"href": "./visual.tif", "type": COG, "roles": ["visual"], "eo:bands": bands}
    properties = {"earthsearch:boa_offset_applied": applied, "s2:processing_baseline": baseline} | properties
    return put(folder, item(assets, **properties))


def planetary_computer(folder, **properties):
    """Microsoft's sentinel-2-l2a: keys are bands, the visual one is called data, only the baseline tells the numbers."""
    assets = {}
    for band in S2_L2A:
        write(folder / f"{band}_10m.tif", flat(NUMBER[band], RES[band]), RES[band])
        assets[band] = {"href": f"{band}_10m.tif", "type": COG, "roles": ["data"], "eo:bands": [{"name": band}], "gsd": RES[band]}
    write(folder / "SCL_20m.tif", flat(9, 20, "uint8"), 20)
    assets["SCL"] = {"href": "SCL_20m.tif", "type": COG, "roles": ["data"], "title": "Scene classification map (SCL)"}
    write(folder / "TCI_10m.tif", np.stack([flat(9, 10, "uint8")] * 3), 10)
    bands = [{"name": name} for name in ("B04", "B03", "B02")]
    assets["visual"] = {"href": "TCI_10m.tif", "type": COG, "roles": ["data"], "title": "True color image", "eo:bands": bands}
    assets["preview"] = {"href": "https://x/preview.png", "type": COG, "roles": ["thumbnail"]}
    assets["safe-manifest"] = {"href": "manifest.safe", "type": "application/xml", "roles": ["metadata"]}
    return put(folder, item(assets, **properties))


def landsat(folder, platform="landsat-8", names="OLI_B{}", correction="L2SP", scale=2.75e-5, offset=-0.2):
    """landsat-c2-l2 of Planetary Computer."""
    eight = platform in {"landsat-8", "landsat-9"}
    keys = (
        ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22")
        if eight
        else ("blue", "green", "red", "nir08", "swir16", "", "swir22")
    )
    assets = {}
    for number, key in enumerate(keys, start=1):
        if key:
            write(folder / f"{key}.TIF", flat(8000 + 100 * number, 30), 30, nodata=0)
            assets[key] = {
                "href": f"{key}.TIF", "type": COG, "roles": ["data", "reflectance"],
                "eo:bands": [{"name": names.format(number), "common_name": key}],
                "raster:bands": [{"nodata": 0, "scale": scale, "offset": offset, "data_type": "uint16"}],
            }  # fmt: skip
    write(folder / "lwir.TIF", flat(44_000, 30), 30)
    assets["lwir11" if eight else "lwir"] = {
        "href": "lwir.TIF", "type": COG, "roles": ["data", "temperature"],
        "eo:bands": [{"name": "TIRS_B10" if eight else "TM_B6", "common_name": "lwir11" if eight else "lwir"}],
        "raster:bands": [{"nodata": 0, "scale": 0.00341802, "offset": 149.0}],
    }  # fmt: skip
    write(folder / "qa.TIF", flat(22280, 30), 30, nodata=1)
    assets["qa_pixel"] = {"href": "qa.TIF", "type": COG, "roles": ["cloud", "cloud-shadow"], "raster:bands": [{"nodata": 1}]}
    told = item(assets, platform=platform, constellation=None, **{"landsat:correction": correction})
    return put(folder, told | {"collection": "landsat-c2-l2"})


def small(folder, href, **properties):
    return put(folder, item({"red": {"href": href, "type": COG, "eo:bands": [{"name": "B04"}]}}, **properties))
