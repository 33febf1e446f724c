"""Losses against values worked out by hand, and the check of what they need."""

from __future__ import annotations

import math

import pytest
import torch

from domainclip.batch import Batch, TowerOutput
from domainclip.config import LossTerm
from domainclip.errors import UsageError
from domainclip.losses import check_needs, losses, make_loss
from domainclip.losses.gather import Gather

ALONE = Gather()


def make_batch(groups, weights=None, own=None):
    """own: all caption groups of each image; the drawn one alone where left out."""
    n = len(groups)
    w = None if weights is None else torch.tensor(weights)
    mine = torch.tensor([[g] for g in groups] if own is None else own)
    tokens, groups = torch.zeros(n, 4, dtype=torch.long), torch.tensor(groups)
    return Batch(torch.zeros(n, 3, 2, 2), tokens, groups, ("k",) * n, ("en",) * n, weights=w, image_groups=mine)


def make_output(images, texts, scale):
    return TowerOutput(torch.tensor(images), torch.tensor(texts), torch.tensor([scale]))


UNIT = [[1.0, 0.0], [0.0, 1.0]]


def test_clip_by_hand():
    # Logits are 2 on the diagonal and 0 beside it: -log(e^2 / (e^2 + 1)) in every row and direction.
    value = losses.get("clip")()(make_output(UNIT, UNIT, 2.0), make_batch([0, 1]), ALONE)
    assert value.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


def test_clip_is_mean_of_two_directions():
    # Both texts equal (1, 0): image to text is log 2 in both rows; text to image is log(1 + e^-1) and log(1 + e).
    output = make_output(UNIT, [[1.0, 0.0], [1.0, 0.0]], 1.0)
    expected = (math.log(2) + (math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 2) / 2
    assert losses.get("clip")()(output, make_batch([0, 1]), ALONE).item() == pytest.approx(expected, abs=1e-6)


def test_clip_weights_by_hand():
    # As above, rows weighted 3 to 1; a row's loss is the mean of its two directions.
    output = make_output(UNIT, [[1.0, 0.0], [1.0, 0.0]], 1.0)
    rows = [(math.log(2) + math.log(1 + math.exp(-1))) / 2, (math.log(2) + math.log(1 + math.e)) / 2]
    value = losses.get("clip")()(output, make_batch([0, 1], [3.0, 1.0]), ALONE)
    assert value.item() == pytest.approx((3 * rows[0] + rows[1]) / 4, abs=1e-6)


def test_multi_positive_shares_the_mass():
    # Three pairs, the first two with the same words. Scale 1, orthogonal features: logits 1 on the diagonal, else 0.
    eye = torch.eye(3).tolist()
    value = losses.get("multi-positive")()(make_output(eye, eye, 1.0), make_batch([7, 7, 9]), ALONE)
    total = math.log(math.e + 2)
    shared, single = total - 0.5, total - 1.0
    assert value.item() == pytest.approx((2 * shared + single) / 3, abs=1e-6)


def test_multi_positive_counts_every_caption_of_an_image():
    # Image 0 owns captions 1 and 2, image 1 owns 2 and 3, image 2 owns 5 alone; drawn are 1, 2 and 5. Caption 2 is right for
    # image 0 too, caption 1 is wrong for image 1: the two directions have different targets.
    logits = [[1.0, 0.5, 0.0], [0.25, 1.0, 0.0], [0.0, 0.0, 1.0]]
    batch = make_batch([1, 2, 5], own=[[1, 2], [2, 3], [5, -1]])
    value = losses.get("multi-positive")()(make_output(torch.eye(3).tolist(), list(zip(*logits, strict=True)), 1.0), batch, ALONE)
    to_text = [math.log(sum(map(math.exp, row))) for row in logits]
    to_image = [math.log(sum(map(math.exp, column))) for column in zip(*logits, strict=True)]
    image_rows = [to_text[0] - (1.0 + 0.5) / 2, to_text[1] - 1.0, to_text[2] - 1.0]
    text_rows = [to_image[0] - 1.0, to_image[1] - (0.5 + 1.0) / 2, to_image[2] - 1.0]
    assert value.item() == pytest.approx((sum(image_rows) + sum(text_rows)) / 6, abs=1e-6)


def test_many_captions_of_one_image():
    generator = torch.Generator().manual_seed(0)
    own = torch.randint(0, 50, (6, 2000), generator=generator)
    own[1:, 3:] = -1
    drawn = own[:, 0]
    from domainclip.losses.multi_positive import _belongs

    expected = torch.tensor([[int(caption) in row for caption in drawn] for row in own.tolist()])
    assert _belongs(drawn, own).equal(expected) and expected.sum() > 6


def test_multi_positive_is_clip_when_captions_differ():
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(2, 6, 8), dim=-1)
    output, batch = TowerOutput(features[0], features[1], torch.tensor([10.0])), make_batch(range(6))
    clip, multi = (losses.get(name)()(output, batch, ALONE) for name in ("clip", "multi-positive"))
    torch.testing.assert_close(clip, multi)


@pytest.mark.parametrize("name", ["clip", "multi-positive"])
def test_gradcheck(name):
    torch.manual_seed(1)
    batch = make_batch([0, 1, 1, 2])
    loss = losses.get(name)()
    # float() inside the loss would cut double precision, so float32 with wide steps is compared to differences in float64.
    images, texts = (torch.randn(4, 5, requires_grad=True) for _ in range(2))
    scale = torch.tensor([3.0], requires_grad=True)
    value = loss(TowerOutput(images, texts, scale), batch, ALONE)
    gradients = torch.autograd.grad(value, (images, texts, scale))

    def reference(images, texts, scale):
        logits = scale * images @ texts.T
        same = batch.caption_groups[:, None] == batch.caption_groups[None, :]
        target = torch.eye(4).double() if name == "clip" else same / same.sum(1, keepdim=True).double()
        return -(target * (logits.log_softmax(1) + logits.T.log_softmax(1))).sum() / 8

    doubles = [t.detach().double().requires_grad_() for t in (images, texts, scale)]
    assert torch.autograd.gradcheck(reference, doubles)
    for ours, true in zip(gradients, torch.autograd.grad(reference(*doubles), doubles), strict=True):
        torch.testing.assert_close(ours.double(), true, rtol=1e-5, atol=1e-6)


def test_loss_stays_in_float32_under_autocast():
    features = torch.nn.functional.normalize(torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(0)), dim=-1)
    output, batch = TowerOutput(features[0], features[1], torch.tensor([100.0])), make_batch(range(16))
    plain = losses.get("clip")()(output, batch, ALONE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = losses.get("clip")()(output, batch, ALONE)
    assert inside.item() == plain.item()


def test_total_is_weighted_sum():
    total = make_loss((LossTerm(name="clip", weight=0.5), LossTerm(name="multi-positive", weight=2.0)))
    output, batch = make_output(UNIT, UNIT, 2.0), make_batch([0, 1])
    assert total(output, batch, ALONE).item() == pytest.approx(2.5 * math.log(1 + math.exp(-2)), abs=1e-6)


def test_unknown_loss_and_option_name_the_nearest():
    with pytest.raises(UsageError, match="'multi-positive'"):
        make_loss((LossTerm(name="multipositive"),))
    with pytest.raises(UsageError, match="option of the loss 'clip' 'smoothing'"):
        make_loss((LossTerm(name="clip", options={"smoothing": 0.1}),))
    with pytest.raises(UsageError, match="without a loss"):
        make_loss(())


def test_needs_are_checked():
    total, batch = make_loss((LossTerm(name="multi-positive"),)), make_batch([0, 1])
    check_needs(total, make_output(UNIT, UNIT, 1.0), batch)
    with pytest.raises(UsageError, match="needs 'text_features'"):
        check_needs(total, TowerOutput(torch.eye(2), None, torch.ones(1)), batch)
    batch.caption_groups = None
    with pytest.raises(UsageError, match="batches do not hold it"):
        check_needs(total, make_output(UNIT, UNIT, 1.0), batch)
