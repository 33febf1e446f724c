"""Features that do not depend on which way round an image lies."""

from __future__ import annotations

import numpy as np
import torch

from domainclip.config import ModelConfig
from domainclip.models.towers import build_model
from domainclip.models.views import features_of_views


def test_the_mean_over_orientations_by_hand_and_its_invariance():
    model = build_model(ModelConfig(architecture="tiny-vit"), ("red", "green", "blue")).eval()

    def encode(images):
        with torch.no_grad():
            return model(images=images, mode="image").image_features

    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = features_of_views(encode, images, "d4")
    views = []
    for image in images.numpy():
        turned = [np.rot90(part, k, (1, 2)).copy() for part in (image, image[:, :, ::-1]) for k in range(4)]
        views.append(encode(torch.from_numpy(np.stack(turned))).mean(dim=0))
    expected = torch.nn.functional.normalize(torch.stack(views), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for other in (torch.rot90(images, 1, (2, 3)), images.flip(2), images.transpose(2, 3)):
        torch.testing.assert_close(features_of_views(encode, other, "d4"), found, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(encode(other), encode(images), atol=1e-3)
    assert features_of_views(encode, images, "one").equal(encode(images))
