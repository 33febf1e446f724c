"""Series of scenes through prepare and embed: the features are the mean of those of the single dates."""

import numpy as np
import pytest

BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


@pytest.fixture
def site(tmp_path):
    import rasterio
    from rasterio.transform import Affine

    folder = tmp_path / "site"
    folder.mkdir()
    for number, date in enumerate(("2021-06-01", "2021-03-01", "2021-09-01")):
        pixels = np.random.default_rng(number).integers(200, 4000, (12, 64, 64)).astype("uint16")
        path = folder / f"site_{date}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", dtype="uint16", count=12, width=64, height=64, crs="EPSG:32633",
            transform=Affine(10, 0, 500_000, 0, -10, 5_400_000),
        ) as file:  # fmt: skip
            file.descriptions = BANDS
            file.write(pixels)
    return folder


def test_a_series_is_embedded_as_the_mean_of_its_dates(site, tmp_path):
    import domainclip as dc
    from domainclip.config import DataConfig
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_source
    from domainclip.domains.base import domains
    from domainclip.heads.embed import embed
    from domainclip.heads.feature_table import read_features, read_slices

    model, domain = dc.load_model("starter-remote-sensing"), domains.get("remote-sensing")
    told = {"processing_baseline": "03.00"}
    options = {**told, "axes": "TCYX"}
    prepared = prepare(
        open_source(DataConfig(source=str(site)), domain, options), domain, tmp_path / "set", reading=options, workers=0
    )
    row = prepared.index.iloc[0]
    assert len(prepared.index) == 1 and row["axes"] == "TCYX" and list(row["shape"]) == [3, 12, 64, 64]
    assert row["meta"]["times"] == ["2021-03-01", "2021-06-01", "2021-09-01"]
    embed(model, prepared, tmp_path / "series")
    features, table, _ = read_features(tmp_path / "series", "embed")
    slices = read_slices(tmp_path / "series", table)
    single = []
    for path in sorted(site.glob("*.tif")):
        embed(model, path, tmp_path / path.stem, reading=told)
        single.append(read_features(tmp_path / path.stem, "embed")[0][0])
    np.testing.assert_allclose(slices, np.stack(single), atol=1e-5)
    mean = np.mean(single, axis=0)
    np.testing.assert_allclose(features[0], mean / np.linalg.norm(mean), atol=1e-5)
