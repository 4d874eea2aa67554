"""
The n-gram rule of PR 826: the model and the longest context that is known well enough.

With exact counts this is a distribution, and it makes the test model worse. What was
published with it is :mod:`~artpack.evaluation.ngram.lookup`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.ngram.counts import Evidence

MAX_ORDER = 10
MOST = 0.95
"""The largest weight."""


@dataclass(frozen=True)
class PublishedRule:
    """
    How much weight the longest known context gets.

    Attributes:
        min_count: A context is known if it occurred so often; 0 or less: always.
        min_order: Shortest n-gram, 1 or more.
        max_order: Longest n-gram, at most 10; below ``min_order``: none at all.
        multipliers: Of the weight, one for each order from the shortest on; the last
            one holds for all orders beyond the list.
        alpha_min: Weight where the model is sure.
        alpha_max: Weight where it is not.
        center_nats: Entropy of the model half-way between the two, at the shortest
            n-gram; a quarter of a nat less for each order more.
        slope: How fast the weight rises with the entropy, per nat.
        adaptive: Heed the entropy; else the weight is the mean of both ends.

    Source: PR 826.

    """

    min_count: int = 2
    min_order: int = 2
    max_order: int = 9
    multipliers: tuple[float, ...] = (0.3, 0.3, 0.97, 2.0, 2.0, 2.0, 2.0, 2.0)
    alpha_min: float = 0.05
    alpha_max: float = 0.6
    center_nats: float = 3.0
    slope: float = 2.0
    adaptive: bool = True

    def __post_init__(self) -> None:
        if self.min_order < 1 or self.max_order > MAX_ORDER:
            raise UsageError(
                f"n-gram orders {self.min_order} to {self.max_order} do not lie in 1..{MAX_ORDER}"
            )
        if not self.multipliers:
            raise UsageError("multipliers is empty: give one number at least")

    @property
    def orders(self) -> range:
        """The lengths of n-grams, shortest first; there may be none."""
        return range(self.min_order, self.max_order + 1)

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
        distance = entropy - (self.center_nats - 0.25 * (order - self.min_order))
        rise = 1 / (1 + np.exp(-self.slope * distance)) if self.adaptive else 0.5
        alpha = self.alpha_min + (self.alpha_max - self.alpha_min) * rise
        listed = np.clip(order - self.min_order, 0, len(self.multipliers) - 1)
        multiplier = np.where(order > 0, np.array(self.multipliers)[listed], 0.0)
        return np.clip(alpha * multiplier, 0, MOST)

    def backoff(self, evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """
        Look tokens up in exact counts.

        Args:
            evidence: From order ``min_order`` on.

        Returns:
            The order of the longest known n-gram, 0 for none, and the share of the
            token among what followed its context; both of shape (N,).

        """
        known = evidence[:, :, 1] >= max(self.min_count, 1)
        longest = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
        found = np.take_along_axis(evidence, longest[:, None, None], axis=1)[:, 0]
        some = known.any(axis=1)
        share = np.where(some, found[:, 0] / np.maximum(found[:, 1], 1), 0.0)
        return np.where(some, longest + self.min_order, 0), share
