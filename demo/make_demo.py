"""
Puts a trained model and some of its text into the package, as the demo.

    python demo/make_demo.py RUN DATA

RUN is what ``artpack train`` wrote, DATA what ``artpack tokenize`` did; docs/TRAINING.md
has both commands.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from artpack.demo import CALIBRATION, CHECKPOINT, CONFIG, HELD_OUT, TOKENIZER
from artpack.evaluation.tokens.documents import document_spans
from artpack.evaluation.tokens.shards import find_shards, read_shard, read_tokens, write_shard

FOLDER = Path(__file__).resolve().parents[1] / "artpack" / "demo" / "data"
CALIBRATION_TOKENS = 65536
BOS = 1


def main(run: Path, data: Path) -> None:
    """Write the demo's files."""
    weights = torch.load(run / "ckpt.pt", weights_only=True)
    save_file({name: w.half().contiguous() for name, w in weights.items()}, FOLDER / CHECKPOINT)
    (FOLDER / CONFIG).write_text((run / "config.json").read_text())
    (FOLDER / TOKENIZER).write_bytes(next(data.glob("*.model")).read_bytes())
    held_out = [read_shard(path) for path in find_shards(str(data / "*_val_*.bin"))]
    write_shard(FOLDER / HELD_OUT, np.concatenate(held_out))
    write_shard(FOLDER / CALIBRATION, spread(read_tokens(str(data / "*_train_*.bin"))))
    report = json.loads((run / "train.json").read_text())
    del report["log"]
    (FOLDER / "train.json").write_text(json.dumps(report, indent=1) + "\n")


def spread(ids: np.ndarray) -> np.ndarray:
    """Return whole documents from all over a stream, together about as long as asked."""
    every = max(1, ids.size // CALIBRATION_TOKENS)
    return np.concatenate([ids[start:stop] for start, stop in document_spans(ids, BOS)[::every]])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
