"""Zero-shot classification in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from domainclip.errors import UsageError
from domainclip.heads.domain_model import DomainModel, Features
from domainclip.heads.prompts import Classes, checked_classes, class_features, templates_for


class ZeroShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies images by the names of classes alone.

    Each class is the mean of the unit vectors of all its synonyms in all templates, brought to unit norm again.

    Args:
        model: A loaded model.
        classes: Names, or a mapping of names to synonyms; two or more.
        templates: Texts with one ``{}`` each; None takes the model's own for the language.
        language: Language of names and templates.
        batch_size: Images at a time.

    Attributes:
        classes_: (K,) names.
        class_features_: (K, D) float32, unit norm, once texts have been encoded.
    """

    def __init__(
        self,
        model: DomainModel,
        classes: Classes,
        templates: Sequence[str] | None = None,
        language: str = "en",
        batch_size: int = 64,
    ) -> None:
        checked_classes(classes)
        self.model = model
        self.classes = classes
        self.templates = templates
        self.language = language
        self.batch_size = batch_size

    def fit(self, X: Any = None, y: Any = None) -> ZeroShotClassifier:  # noqa: N803 - scikit-learn's name
        """Encodes the class names; images and labels are not looked at."""
        named = checked_classes(self.classes)
        prompts = self.model.record.prompts
        chosen = templates_for(prompts, self.language, self.templates)
        self.class_features_ = class_features(
            lambda texts: self.model.encode_text(texts, language=self.language), named, chosen, prompts.pooling
        )
        self.classes_: npt.NDArray[np.str_] = np.array(list(named))
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float32]:  # noqa: N803 - scikit-learn's name
        """Returns the cosines of images and classes.

        Args:
            X: What ``DomainModel.encode_image`` takes.

        Returns:
            (N, K) float32 in -1..1.
        """
        return self.scores_of_features(self.model.encode_image(X, self.batch_size))

    def scores_of_features(self, features: Features) -> npt.NDArray[np.float32]:
        """Returns the (N, K) cosines for (N, D) image features."""
        if not hasattr(self, "class_features_"):
            self.fit()
        if features.ndim != 2 or features.shape[1] != self.class_features_.shape[1]:
            found = f"They have the shape {features.shape}; the model's have {self.class_features_.shape[1]} numbers each."
            raise UsageError("Image features were to be classified.", found, "Embed the images with this model.")
        cosines: npt.NDArray[np.float32] = features @ self.class_features_.T
        return cosines

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:  # noqa: N803 - scikit-learn's name
        """Returns class probabilities: the softmax over classes of the cosines times the model's logit scale.

        They compare the classes given with each other; they are not calibrated and say nothing of classes left out.

        Args:
            X: What ``DomainModel.encode_image`` takes.

        Returns:
            (N, K) float32, rows sum to 1.
        """
        return self.probabilities(self.decision_function(X))

    def probabilities(self, cosines: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns the softmax of (N, K) cosines at the model's logit scale."""
        logits = cosines.astype(np.float64) * self.model.logit_scale
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: npt.NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares

    def predict(self, X: Any) -> npt.NDArray[np.str_]:  # noqa: N803 - scikit-learn's name
        """Returns the (N,) names of the nearest classes."""
        positions = self.decision_function(X).argmax(axis=1)
        names: npt.NDArray[np.str_] = self.classes_[positions]
        return names
