"""
What each recipe of the package costs in bytes and in score.

Packs the shared checkpoint lm6m with every recipe (profile ``default``) and scores the
result against the unpacked checkpoint, on the same tokens in the same run::

    python -m benchmarks.bench_recipes --csv benchmarks/results
"""

import argparse
import sys
import time
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import open_checkpoint
from artpack.compress import compress
from artpack.evaluate.placements import place
from artpack.evaluate.score import compare
from artpack.evaluate.stream import Stream, read_stream
from artpack.models import GPT, build, preset
from artpack.recipes import load_recipe, recipe_names
from artpack.selection import select
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

WINDOW_TOKENS = 512


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tokens", type=int, help="score only the first so many")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    path = lm6m_path()
    if path is None:
        print("the checkpoint lm6m is not there: set ARTPACK_SHARED to the folder of shared data")
        return 1
    stream = read_validation(path.parent).first(arguments.tokens)
    with open_checkpoint(path) as checkpoint:
        baseline = build(
            preset("lm6m"), {i.name: checkpoint.read(i.name) for i in checkpoint.tensors}
        )
    rows = [measure(name, path, baseline, stream) for name in recipe_names()]
    rows.sort(key=lambda row: row["bytes"])
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "recipes", rows)
    return 0


def read_validation(folder: Path) -> Stream:
    """Read the tokens that come with the checkpoint."""
    tokenizer = SentencePieceProcessor(model_file=str(folder / "sp1024.model"))
    return read_stream(str(folder / "val.bin"), tokenizer)


def measure(recipe: str, path: Path, baseline: GPT, stream: Stream) -> Row:
    """Pack, unpack and score."""
    started = time.perf_counter()
    with open_checkpoint(path) as checkpoint:
        content = b"".join(compress(checkpoint, select(checkpoint), load_recipe(recipe)).pieces())
    seconds = time.perf_counter() - started
    with open_artifact(content) as artifact:
        weights = artifact.load()
    plan = place("sequential", stream.ids, WINDOW_TOKENS, WINDOW_TOKENS, bos_id=stream.bos_id)
    found = compare(
        baseline,
        build(preset("lm6m"), weights),
        stream.ids,
        plan,
        stream.byte_counts,
        bos_id=stream.bos_id,
    )
    return {
        "recipe": recipe,
        "bytes": len(content),
        "bits_per_weight": round(8 * len(content) / sum(w.numel() for w in weights.values()), 3),
        "bpb_increase": round(found.bits_per_byte_increase.value, 5),
        "bpb_stderr": _rounded(found.bits_per_byte_increase.stderr, 5),
        "kl_nats": round(found.kl_nats.value, 6),
        "kl_stderr": _rounded(found.kl_nats.stderr, 6),
        "tokens": found.packed.coverage.scored,
        "pack_seconds": round(seconds, 1),
    }


def _rounded(value: float | None, digits: int) -> float | str:
    return "" if value is None else round(value, digits)


if __name__ == "__main__":
    sys.exit(main())
