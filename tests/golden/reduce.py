"""
Reduced golden cases: ``python tests/golden/reduce.py FOLDER``.

FOLDER holds full cases, ``prNNNN/A`` and what lies beside them. Of each system one
archive is written into ``cases/``, with what shows most in the fewest bytes: the plans
below say what is kept. Where the weights of a model are left out, those that its
container holds take their place.
"""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.golden.archive import SUFFIX, pack

CASES = Path(__file__).parent / "cases"
ROWS = 16
"""So many rows are kept of matrices of codes and of decoded weights."""

ROUND_TRIP = ("input_ids", "target_ids", "roundtrip__*")
STREAM = ("luts.npz", "val.npy", "evals.json", "ttt_params_after.npz")
OF_RAW_WEIGHTS = ("state_dict*", "derived*", "*tokens_used", "*raw*", "sensitivity*", "*_note")
"""Facts of a model whose weights are left out."""


@dataclass(frozen=True)
class Plan:
    """
    What is kept of a system's cases.

    Attributes:
        files: Paths in the system's folder.
        arrays: File to patterns of the arrays that are kept; all of other files.
        dropped: File to patterns of the facts that are left out, as in ``args.rank``.
    """

    files: tuple[str, ...]
    arrays: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)


def of_case(*files: str) -> tuple[str, ...]:
    """Return the paths of files of case A."""
    return tuple(f"A/{file}" for file in ("config.json", "io.npz", *files))


PLANS = {
    "pr1123": Plan(
        of_case(*STREAM, "state_dict.safetensors", "quant.*", "artifact.*"),
        {
            "io.npz": (
                "*losses",
                "*_ids",
                "*last8",
                "rope*",
                "*loss_z*",
                "*codes_i8",
                "*scale_f32",
            ),
            "ttt_params_after.npz": ("*scale*", "*mix", "*gain", "skip*", "*c_v*"),
        },
    ),
    "pr1934": Plan(
        (
            *of_case(*STREAM, "state_dict.safetensors", "quant.*", "hessians.npz"),
            *of_case("quant_lqer_dequant.npz", "ttt_lora_init.npz")[2:],
            *("caseops.json", "extra_attn_gptq/units.npz"),
        ),
        {"io.npz": ("*loss*", "*_ids", "varlen*")},
        {
            "caseops.json": ("pieces_0_15", "strings.token_ids", "strings.bytes_per_token"),
            "evals.json": ("sequential_dequantized*",),
        },
    ),
    "pr576": Plan(
        of_case(*STREAM, "artifact.*", "quant.*"),
        {"io.npz": ROUND_TRIP, "quant.npz": ("case2_*",)},
        {
            "config.json": OF_RAW_WEIGHTS,
            "evals.json": OF_RAW_WEIGHTS,
            "quant.json": ("gptq", "naive", "prune", "*hessian*", "deq*", "*.case[13]_*"),
        },
    ),
    "pr826": Plan(
        tuple(f"A/{file}" for file in (*STREAM, "config.json", "artifact.*", "quant_units.*")),
        {},
        {
            "config.json": OF_RAW_WEIGHTS,
            "artifact.json": ("forced_selective_pruning",),
            "evals.json": (
                *("val", "luts", "standard", "sliding", "doc_isolated", "ngram_*", "ttt*"),
                *("tokens_file", "sensitivity*", "ngram.[!a]*"),
            ),
        },
    ),
    "pr2086": Plan(
        (*of_case(*STREAM, "artifact.*"), "rope_tables_published_dims.npz"),
        {"io.npz": ROUND_TRIP},
        {
            "artifact.json": ("variants.artifact_*",),
            "config.json": OF_RAW_WEIGHTS,
            "evals.json": OF_RAW_WEIGHTS,
        },
    ),
}


def reduced(path: Path, plan: Plan) -> bytes:
    """Return what is kept of a file."""
    if path.suffix == ".json":
        kept = without(json.loads(path.read_text()), plan.dropped.get(path.name, ()))
        return json.dumps(kept).encode()
    if path.suffix != ".npz":
        return path.read_bytes()
    patterns, content = plan.arrays.get(path.name, ("*",)), io.BytesIO()
    with np.load(path, allow_pickle=False) as arrays:
        kept = {n: arrays[n] for n in arrays if any(fnmatchcase(n, p) for p in patterns)}
    if path.name.startswith("quant"):
        kept = {n: a[:ROWS] if is_cut(n, a) else a for n, a in kept.items()}
    np.savez(content, **kept)
    return content.getvalue()


def is_cut(name: str, array: np.ndarray[Any, Any]) -> bool:
    """Say whether only the first rows of an array are kept."""
    return array.ndim == 2 and ".lq" not in name and not name.startswith("case")


def without(value: Any, patterns: tuple[str, ...], path: str = "") -> Any:
    """Return a JSON value without the facts whose paths match."""
    if isinstance(value, list):
        return [without(item, patterns, path) for item in value]
    if not isinstance(value, dict):
        return value
    paths = {key: f"{path}.{key}".lstrip(".") for key in value}
    return {
        key: without(item, patterns, paths[key])
        for key, item in value.items()
        if not any(fnmatchcase(paths[key], pattern) for pattern in patterns)
    }


def files_of(folder: Path, plan: Plan) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of all that a plan keeps of a system's folder."""
    for pattern in plan.files:
        for path in sorted(folder.glob(pattern)):
            yield str(path.relative_to(folder)), reduced(path, plan)


def main() -> None:
    """Write one archive for each system."""
    for system, plan in PLANS.items():
        archive = pack(files_of(Path(sys.argv[1]) / system, plan))
        (CASES / f"{system}{SUFFIX}").write_bytes(archive)
        print(f"{system}: {len(archive):,} bytes")


if __name__ == "__main__":
    main()
