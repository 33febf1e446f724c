"""Look-alikes of products as their makers publish them: names, folders, metadata, grids; small, and each band's number tells it.

Layouts: ESA's Sentinel-2 Products Specification (SAFE), USGS's Landsat Collection 2 Level 2 guides, NASA's HLS v2.0 guide, TU
Berlin's BigEarthNet, Planet's PlanetScope specification, AppEEARS and LP DAAC for MODIS.
"""

import json
from pathlib import Path

import numpy as np

UTM31 = "EPSG:32631"
ORIGIN = (600_000.0, 4_800_000.0)
SIDE_M = 1_920  # 192 pixels of 10 m, 96 of 20 m, 64 of 30 m, 32 of 60 m

S2_10 = ("B02", "B03", "B04", "B08")
S2_20 = ("B05", "B06", "B07", "B8A", "B11", "B12")
S2_60 = ("B01", "B09")
S2_L2A = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
S2_L1C = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
# Number of a band in its look-alike: 1100 for B01, 1200 for B02 ..., 2350 for B8A.
NUMBER = {name: 1000 + 100 * int(name[1:]) for name in S2_L1C if name != "B8A"} | {"B8A": 2350}
WRONG = 7777


def write(path, array, res, *, crs=UTM31, origin=ORIGIN, names=None, **profile):
    """Writes (Y, X) or (C, Y, X) as a GeoTIFF, or as lossless JPEG 2000 where the name ends so."""
    import rasterio
    from rasterio.transform import Affine

    array = np.asarray(array)
    array = array[None] if array.ndim == 2 else array
    settings = {"driver": "GTiff", "dtype": array.dtype, "count": len(array), "height": array.shape[1], "width": array.shape[2]}
    if Path(path).suffix == ".jp2":
        settings |= {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = Affine(res, 0, origin[0], 0, -res, origin[1])
    with rasterio.open(path, "w", crs=crs, transform=transform, **settings, **profile) as file:
        file.write(array)
        if names:
            file.descriptions = names
    return path


def flat(number, res, dtype="uint16", side_m=SIDE_M):
    return np.full((side_m // res, side_m // res), number, dtype)


def safe_xml(level, offsets, quantification=10_000, time="2020-01-01T10:54:41.024Z"):
    """``offsets``: None (before baseline 04.00), one number, or one a band in the order of L1C."""
    bands = [f"B{int(name[1:])}" if name != "B8A" else name for name in S2_L1C]
    spectral = "".join(f'<Spectral_Information bandId="{n}" physicalBand="{band}"/>' for n, band in enumerate(bands))
    word, kind = ("BOA", "BOA_QUANTIFICATION_VALUE") if level == "2A" else ("RADIO", "QUANTIFICATION_VALUE")
    numbers = [] if offsets is None else [offsets] * 13 if isinstance(offsets, int | float) else list(offsets)
    shifts = "".join(f'<{word}_ADD_OFFSET band_id="{n}">{number}</{word}_ADD_OFFSET>' for n, number in enumerate(numbers))
    group = "Offset_List" if level == "2A" else "Radiometric_Offset_List"
    tag = "BOA_ADD_OFFSET_VALUES_LIST" if level == "2A" else group
    others = "<AOT_QUANTIFICATION_VALUE>1000.0</AOT_QUANTIFICATION_VALUE>" if level == "2A" else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/">'
        f"<n1:General_Info><Product_Info><PRODUCT_START_TIME>{time}</PRODUCT_START_TIME></Product_Info>"
        f'<Product_Image_Characteristics><{kind} unit="none">{quantification}</{kind}>{others}<{tag}>{shifts}</{tag}>'
        f"<Spectral_Information_List>{spectral}</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info>"
        f"</n1:Level-{level}_User_Product>"
    )


def make_safe_l2a(
    folder, *, baseline="0213", offsets=None, time="20200101T105441", tile="T31TCJ", suffix="jp2", xml=True, bands=None, **how
):
    """A Level-2A SAFE; ``bands`` replaces arrays by name. Coarser copies of a band hold ``WRONG``."""
    bands = bands or {}
    safe = folder / f"S2A_MSIL2A_{time}_N{baseline}_R051_{tile}_20200101T121212.SAFE"
    granule = safe / "GRANULE" / f"L2A_{tile}_A023648_{time}"
    held = {
        10: [*S2_10, "AOT", "WVP"],
        20: ["B02", "B03", "B04", *S2_20, "AOT", "WVP", "SCL"],
        60: ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12", "AOT", "WVP", "SCL"],
    }
    native = {name: res for res, names in ((60, S2_60), (20, (*S2_20, "SCL")), (10, S2_10)) for name in names}
    for res, names in held.items():
        for name in names:
            right = native.get(name) == res
            array = bands.get(name) if right else None
            if array is None:
                array = flat(
                    (4 if name == "SCL" else NUMBER.get(name, 50)) if right else WRONG % 200 if name == "SCL" else WRONG, res
                )
            if name == "SCL":
                array = np.asarray(array, np.uint8)
            write(granule / "IMG_DATA" / f"R{res}m" / f"{tile}_{time}_{name}_{res}m.{suffix}", array, res, **how)
        write(
            granule / "IMG_DATA" / f"R{res}m" / f"{tile}_{time}_TCI_{res}m.{suffix}",
            np.stack([flat(99, res, "uint8")] * 3),
            res,
            **how,
        )
    write(granule / "QI_DATA" / f"MSK_CLDPRB_20m.{suffix}", flat(0, 20, "uint8"), 20, **how)
    write(granule / "QI_DATA" / f"{tile}_{time}_PVI.{suffix}", np.stack([flat(9, 60, "uint8")] * 3), 60, **how)
    (granule / "MTD_TL.xml").write_text("<a/>")
    if xml:
        told = f"{time[:4]}-{time[4:6]}-{time[6:11]}:{time[11:13]}:{time[13:]}.024Z"
        (safe / "MTD_MSIL2A.xml").write_text(safe_xml("2A", offsets, time=told))
    return safe


def make_safe_l1c(folder, *, baseline="0208", offsets=None, time="20200101T105441", tile="T31TCJ", suffix="jp2", xml=True):
    safe = folder / f"S2A_MSIL1C_{time}_N{baseline}_R051_{tile}_20200101T121212.SAFE"
    granule = safe / "GRANULE" / f"L1C_{tile}_A023648_{time}"
    for name in S2_L1C:
        res = 10 if name in S2_10 else 20 if name in S2_20 else 60
        write(granule / "IMG_DATA" / f"{tile}_{time}_{name}.{suffix}", flat(NUMBER[name], res), res)
    write(granule / "IMG_DATA" / f"{tile}_{time}_TCI.{suffix}", np.stack([flat(99, 10, "uint8")] * 3), 10)
    if xml:
        (safe / "MTD_MSIL1C.xml").write_text(safe_xml("1C", offsets))
    return safe


def landsat_mtl(level="L2SP", bands=(1, 2, 3, 4, 5, 6, 7), date="2021-07-16", scale=("2.75e-05", "-0.2")):
    """Groups in the order and with the clashes of a real MTL: level 1's factors have the names of level 2's."""
    factors = {f"REFLECTANCE_MULT_BAND_{n}": scale[0] for n in bands} | {f"REFLECTANCE_ADD_BAND_{n}": scale[1] for n in bands}
    level_1 = {f"REFLECTANCE_MULT_BAND_{n}": "2.0000E-05" for n in bands} | {
        f"REFLECTANCE_ADD_BAND_{n}": "-0.100000" for n in bands
    }
    return {
        "LANDSAT_METADATA_FILE": {
            "PRODUCT_CONTENTS": {"ORIGIN": "Image courtesy of the U.S. Geological Survey", "PROCESSING_LEVEL": level},
            "IMAGE_ATTRIBUTES": {"DATE_ACQUIRED": date, "CLOUD_COVER": "3.10"},
            "LEVEL2_PROCESSING_RECORD": {"PROCESSING_LEVEL": level},
            "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": factors,
            "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS": {"TEMPERATURE_MULT_BAND_ST_B10": "0.00341802"},
            "LEVEL1_PROCESSING_RECORD": {"PROCESSING_LEVEL": "L1TP"},
            "LEVEL1_RADIOMETRIC_RESCALING": level_1,
        }
    }


def as_odl(node, depth=0):
    lines = []
    for name, value in node.items():
        if isinstance(value, dict):
            lines += [f"{'  ' * depth}GROUP = {name}", *as_odl(value, depth + 1), f"{'  ' * depth}END_GROUP = {name}"]
        else:
            quoted = f'"{value}"' if not value[:1].isdigit() and value[:1] != "-" else value
            lines.append(f"{'  ' * depth}{name} = {quoted}")
    return lines if depth else [*lines, "END"]


def make_landsat(folder, *, sensor="LC08", mtl="json", told=None, qa=None, path_row="199030", date="20210716", bands=None, **how):
    """A Collection 2 Level 2 product; band n holds 8000 + 100 n, QA_PIXEL clear land."""
    scene = f"{sensor}_L2SP_{path_row}_{date}_20210723_02_T1"
    home, numbers = folder / scene, (1, 2, 3, 4, 5, 6, 7) if sensor in {"LC08", "LC09"} else (1, 2, 3, 4, 5, 7)
    for n in numbers:
        array = (bands or {}).get(f"SR_B{n}", flat(8000 + 100 * n, 30))
        write(home / f"{scene}_SR_B{n}.TIF", array, 30, nodata=0, **how)
    write(home / f"{scene}_ST_B{10 if len(numbers) == 7 else 6}.TIF", flat(44_000, 30), 30, nodata=0, **how)
    clear = 21824 if len(numbers) == 7 else 5440
    write(home / f"{scene}_QA_PIXEL.TIF", flat(clear, 30) if qa is None else qa, 30, nodata=1, **how)
    write(home / f"{scene}_QA_RADSAT.TIF", flat(0, 30), 30, **how)
    write(home / f"{scene}_SR_QA_AEROSOL.TIF", flat(96, 30, "uint8"), 30, nodata=1, **how)
    told = landsat_mtl(bands=numbers, date=f"{date[:4]}-{date[4:6]}-{date[6:]}") if told is None else told
    if mtl == "json":
        (home / f"{scene}_MTL.json").write_text(json.dumps(told, indent=2))
    elif mtl == "txt":
        (home / f"{scene}_MTL.txt").write_text("\n".join(as_odl(told)) + "\n")
    return home


HLS_L30 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B09", "B10", "B11")


def make_hls(folder, kind="S30", *, fmask=None, tile="T31TCJ", doy="2021197T105031"):
    """HLS v2.0; band n holds 100 n (B8A 850); angles beside."""
    scene = f"HLS.{kind}.{tile}.{doy}.v2.0"
    for name in S2_L1C if kind == "S30" else HLS_L30:
        number = 850 if name == "B8A" else 100 * int(name[1:])
        write(folder / f"{scene}.{name}.tif", flat(number, 30, "int16"), 30, nodata=-9999)
    write(folder / f"{scene}.Fmask.tif", flat(64, 30, "uint8") if fmask is None else np.asarray(fmask, np.uint8), 30, nodata=255)
    for name in ("SAA", "SZA", "VAA", "VZA"):
        write(folder / f"{scene}.{name}.tif", flat(3000, 30), 30, nodata=40_000)
    return scene


def make_bigearthnet_s2(folder, patch="S2A_MSIL2A_20170613T101031_0_45", offset=0):
    for name in S2_L2A:
        res = 10 if name in S2_10 else 20 if name in S2_20 else 60
        write(folder / patch / f"{patch}_{name}.tif", flat(NUMBER[name] + offset, res, side_m=1200), res)
    labels = {"labels": ["Pastures"], "coordinates": {"ulx": ORIGIN[0]}, "projection": "PROJCS"}
    (folder / patch / f"{patch}_labels_metadata.json").write_text(json.dumps(labels))
    return folder / patch


def make_bigearthnet_s1(folder, patch="S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39"):
    for name, number in (("VV", -11.5), ("VH", -18.25)):
        write(folder / patch / f"{patch}_{name}.tif", flat(number, 10, "float32", side_m=1200), 10)
    (folder / patch / f"{patch}_labels_metadata.json").write_text(json.dumps({"labels": ["Pastures"]}))
    return folder / patch


PLANET_8 = ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")
UDM2 = ("clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud", "confidence", "udm1")


def make_planetscope(folder, *, flags=None, scene="20220612_100123_45_2455", named=True, udm_named=True):
    """SuperDove surface reflectance with its UDM2; band n (from 1) holds 1000 + 10 n."""
    bands = np.stack([np.full((64, 64), 1000 + 10 * n, np.uint16) for n in range(1, 9)])
    write(folder / f"{scene}_3B_AnalyticMS_SR_8b.tif", bands, 3, names=PLANET_8 if named else None, nodata=0)
    udm = np.zeros((8, 64, 64), np.uint8) if flags is None else np.asarray(flags, np.uint8)
    write(folder / f"{scene}_3B_udm2.tif", udm, 3, names=UDM2 if udm_named else None)
    return scene


def make_modis(folder, *, state=None, scene="MOD09GA.A2021197.h18v04.061.2021199031520"):
    crs = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    for n in range(1, 8):
        array = np.full((64, 64), 1000 + 100 * n, np.int16)
        write(folder / f"{scene}_sur_refl_b0{n}.tif", array, 463.3127, crs=crs, origin=(0.0, 5_559_752.6), nodata=-28672)
    if state is not None:
        write(
            folder / f"{scene}_sur_refl_state_500m.tif", np.asarray(state, np.uint16), 463.3127, crs=crs, origin=(0.0, 5_559_752.6)
        )
    return scene


def make_naip(path):
    bands = np.stack([np.full((64, 64), n, np.uint8) for n in (50, 60, 70, 80)])
    return write(path, bands, 1, photometric="RGB", alpha="NO")


def numbers(sample):
    """Each band's one number; a band with several fails."""
    array = sample.read().array
    assert all(len(np.unique(band)) == 1 for band in array)
    return {name: float(band.flat[0]) for name, band in zip(sample.channels, array, strict=True)}


def physical(sample, stored):
    return stored * sample.values.scale + sample.values.offset
