"""
The n-gram rule of seed 826: the model and the longest context that is known well enough.

With exact counts this is a distribution, and it makes the test model worse. What was
published with it is :mod:`~artpack.evaluate.ngram.lookup`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.evaluate.ngram.counts import Evidence


@dataclass(frozen=True)
class PublishedRule:
    """
    How much weight the longest known context gets.

    Attributes:
        min_count: A context is known if it occurred so often.
        multipliers: Of the weight, one for each order from 2 on.
        alpha_min: Weight where the model is sure.
        alpha_max: Weight where it is not.
        center_nats: Entropy of the model half-way between the two, at order 2; a
            quarter of a nat less for each order more.
        adaptive: Heed the entropy; else the weight is the mean of both ends.

    Source: seed system PR 826.

    """

    min_count: int = 2
    multipliers: tuple[float, ...] = (0.3, 0.3, 0.97, 2.0, 2.0, 2.0, 2.0, 2.0)
    alpha_min: float = 0.05
    alpha_max: float = 0.6
    center_nats: float = 3.0
    adaptive: bool = True

    @property
    def max_order(self) -> int:
        """The longest n-gram."""
        return len(self.multipliers) + 1

    def alpha(self, entropy: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
        """
        Return the weight of the n-gram's share.

        Args:
            entropy: Of the model's distribution, nats, shape (N,).
            order: Of the longest known n-gram, 0 for none, shape (N,).

        Returns:
            In [0, 0.95], shape (N,).

        >>> PublishedRule().alpha(np.array([3.0, 3.0]), np.array([2, 0])).round(4).tolist()
        [0.0975, 0.0]

        """
        distance = entropy - (self.center_nats - 0.25 * (order - 2))
        rise = 1 / (1 + np.exp(-2 * distance)) if self.adaptive else 0.5
        alpha = self.alpha_min + (self.alpha_max - self.alpha_min) * rise
        multiplier = np.array([0.0, 0.0, *self.multipliers])[order]
        return np.clip(alpha * multiplier, 0, 0.95)

    def backoff(self, evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """
        Look tokens up in exact counts.

        Args:
            evidence: From order 2 on.

        Returns:
            The order of the longest known n-gram, 0 for none, and the share of the
            token among what followed its context; both of shape (N,).

        """
        known = evidence[:, :, 1] >= self.min_count
        longest = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        found = np.take_along_axis(evidence, longest[:, None, None], axis=1)[:, 0]
        some = known.any(axis=1)
        share = np.where(some, found[:, 0] / np.maximum(found[:, 1], 1), 0.0)
        return np.where(some, longest + 2, 0), share
