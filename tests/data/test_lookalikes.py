"""Every card that is read, against look-alikes of its set that were written from the evidence and say what a right one gives."""

import importlib
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lookalikes.kit import makers, plain
from lookalikes.remote_sensing_bands import digital_number

from domainclip.config import DataConfig
from domainclip.data.cards import card_names, load_card
from domainclip.data.inside import samples_of
from domainclip.data.sources import open_source
from domainclip.domains.base import checked_reading, domains

for part in sorted(Path(__file__).with_name("lookalikes").glob("*_*.py")):
    importlib.import_module(f"lookalikes.{part.stem}")


def card_of(name):
    """The card of a second published form is one of its own, where the first one's cannot read it."""
    plain_name, _, variant = name.partition("+")
    return f"{plain_name}-{variant}" if variant and f"{plain_name}-{variant}" in card_names() else plain_name


def read_all(name, root, scratch, options):
    """Opens the set as a user does and reads every image, as a worker does."""
    card = load_card(card_of(name))
    domain = domains.get(card.domain)
    reading = checked_reading(domain, {**card.reading, **options.get("reading", {})})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        source = open_source(DataConfig(source=card.name, root=str(root)), domain, reading)
        items = list(source.items())
    account, samples = Counter(), []
    for item in items:
        samples += [cut.sample for cut in samples_of(item, domain, reading, scratch, account)]
    return source, samples, account, [str(one.message) for one in told]


READ = [name for name in sorted(makers) if load_card(card_of(name)).layout is not None]


@pytest.mark.parametrize("name", READ)
def test_look_alike(name, tmp_path):
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    root.mkdir()
    scratch.mkdir()
    right = makers[name](root)
    source, samples, _account, _told = read_all(name, root, scratch, right.options)
    found, unread = {}, set()
    for sample in samples:
        try:
            found[sample.key] = (sample, sample.read().array)
        except Exception as error:  # an image that cannot be read is told as it is read
            assert type(error).__name__ == "UnreadableFileError"
            unread.add(sample.key)
    assert set(found) == {one.name for one in right.images}
    assert {path for path, _ in source.rejections} | unread == set(right.rejected)
    for one in right.images:
        sample, array = found[one.name]
        check_text(one, sample)
        check_colour(one, array, sample.channels)
    del samples, found, sample
    assert not list(scratch.iterdir())


def check_text(one, sample):
    assert {label: sample.labels.get(label) for label in one.labels} == one.labels, one.name
    assert sample.split == one.split, one.name
    if one.group is not None:
        assert sample.group == one.group, one.name
    if one.captions is not None:
        assert list(dict.fromkeys(caption.text for caption in sample.captions)) == list(one.captions), one.name


def check_colour(one, array, channels):
    """The picture is the one that was stored for this row."""
    pixels = np.asarray(array, float)
    if len(pixels) > 3:  # bands of digital numbers: each name leads to its own band
        means = dict(zip(channels, pixels.reshape(len(pixels), -1).mean(1), strict=True))
        assert means == {band: digital_number(one.colour, band) for band in channels}, one.name
        return
    if pixels.max() > 255:
        pixels = pixels / 257
    elif pixels.max() <= 1:  # display values of DICOM
        pixels = pixels * 255
    level = pixels.reshape(pixels.shape[0], -1).mean(1)
    colour, grey = plain(one.colour)[0, 0], plain(one.colour, channels=1)[0, 0]
    if len(level) == 3:  # a grey picture as three equal channels: reading.colour is rgb_all
        assert np.abs(level - colour).max() < 5 or np.abs(level - grey).max() < 5, one.name
    elif len(level) == 1:  # a colour picture as one channel: reading.colour is luma
        assert min(abs(level[0] - grey), abs(level[0] - colour @ (0.299, 0.587, 0.114))) < 5, one.name
