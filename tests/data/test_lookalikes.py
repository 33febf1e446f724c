"""Every card that is read, against look-alikes of its set that were written from the evidence and say what a right one gives."""

import numpy as np
import pytest
from lookalikes.kit import makers, plain
from lookalikes.reading import READ, levels, read_all
from lookalikes.remote_sensing_bands import digital_number


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
    level = levels(array)
    if len(level) > 3:  # bands of digital numbers: each name leads to its own band
        means = dict(zip(channels, level, strict=True))
        assert means == {band: digital_number(one.colour, band) for band in channels}, one.name
        return
    colour, grey = plain(one.colour)[0, 0], plain(one.colour, channels=1)[0, 0]
    if len(level) == 3:  # a grey picture as three equal channels: reading.colour is rgb_all
        assert np.abs(level - colour).max() < 5 or np.abs(level - grey).max() < 5, one.name
    elif len(level) == 1:  # a colour picture as one channel: reading.colour is luma
        assert min(abs(level[0] - grey), abs(level[0] - colour @ (0.299, 0.587, 0.114))) < 5, one.name
