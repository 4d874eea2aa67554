r"""
Bundles: bytes of each recipe's decoder, and how long it takes in Python with numpy alone.

The demo's model and lm6m by every recipe, portable, each decoded by its bundle in a Python
that finds nothing but numpy, every bit compared; then 36 million made-up weights, by integers
and by the frontier. From the repository's root::

    python -m benchmarks.bench_bundle --csv benchmarks/results

lm6m is left out where it is not at hand, and said so.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import artpack
from artpack.demo import CALIBRATION, CHECKPOINT, write_demo
from artpack.recipes import FOLDER
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

MATRICES, SIDE = 36, 1000
FRONTIER_BITS = 2.6


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    parser.add_argument("--only", help="one source: demo, lm6m, made-up")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for source, recipe, settings in cases(Path(folder)):
            if asked.only in (None, source):
                rows.append(measure(source, recipe, settings))
                print(*rows[-1].values(), flush=True)
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "bundle", rows)
    return 0


def cases(folder: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield what is packed, by which recipe, and how."""
    write_demo(folder)
    models = {"demo": (folder / CHECKPOINT, folder / CALIBRATION)}
    lm6m = lm6m_path()
    if lm6m is None:
        print("lm6m is not at hand: left out")
    else:
        models["lm6m"] = (lm6m, lm6m.with_name("calib.bin"))
    for source, (weights, tokens) in models.items():
        calibration = artpack.calibrate(weights, tokens, limit_tokens=16_384)
        for recipe in FOLDER.names():
            yield source, recipe, {"source": weights, "calibration": calibration}
    draw = torch.Generator().manual_seed(0)
    made_up = {f"w{i}": torch.randn(SIDE, SIDE, generator=draw) for i in range(MATRICES)}
    yield "made-up", "int6", {"source": made_up}
    budget = round(MATRICES * SIDE * SIDE * FRONTIER_BITS / 8)
    yield "made-up", "frontier", {"source": made_up, "budget": budget}


def measure(source: str, recipe: str, settings: Mapping[str, Any]) -> Row:
    """Pack, bundle, decode alone and compare."""
    result = artpack.compress(recipe=recipe, portable=True, **settings)
    bundle = artpack.bundle(result.content(), self_test=True)
    assert bundle.test is not None
    coders = {s.pipeline.coder.stage_id for s in result.result.packed.header.plan.streams}
    return {
        "source": source,
        "recipe": recipe,
        "bytes": result.size_bytes,
        "portable_price": result.result.packed.portable_price,
        "decoder_bytes": bundle.bundle.size_bytes,
        "readable_bytes": len(bundle.bundle.source),
        "seconds_alone": round(bundle.test.seconds, 2),
        "coders": " ".join(sorted(coders)),
    }


if __name__ == "__main__":
    sys.exit(main())
