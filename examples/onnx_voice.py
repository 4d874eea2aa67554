"""A voice detector in ONNX, packed to a budget: python examples/onnx_voice.py."""

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import artpack

WHEEL = "silero-vad==6.2.3"
MEMBER = "silero_vad/data/silero_vad_16k_sequence.onnx"
BUDGET = 110_000
RATE, SECONDS, HOP, CONTEXT = 16_000, 4, 512, 64
UNITS = 128

Floats = NDArray[np.float32]


def find_model(folder: Path) -> Path:
    """Return the graph of the package, installed or downloaded."""
    found = importlib.util.find_spec("silero_vad")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent.parent / MEMBER
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("silero_vad-*.whl"))) as wheel:
        return Path(wheel.extract(MEMBER, folder))


def make_speech(seed: int) -> Floats:
    """Make some seconds of a voice: harmonics under formants, in syllables, with a little noise."""
    draw = np.random.default_rng(seed)
    time = np.arange(RATE * SECONDS) / RATE
    pitch = 110 + 60 * draw.random() + 20 * np.sin(2 * np.pi * 1.3 * time + draw.random())
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = (500 + 300 * draw.random(), 1500 + 500 * draw.random(), 2500)
    voice = np.zeros_like(time)
    for harmonic in range(1, 30):
        loudness = sum(np.exp(-(((harmonic * pitch - one) / 150) ** 2)) for one in formants)
        voice += (loudness + 0.02) * np.sin(harmonic * phase) / harmonic**0.3
    syllables = np.sin(2 * np.pi * (2 + draw.random()) * time + 6 * draw.random()) > -0.2
    phrases = np.sin(2 * np.pi * 0.4 * time + 6 * draw.random()) > -0.3
    voice *= np.convolve(syllables * phrases, np.ones(400) / 400, "same")
    noise = 0.005 * draw.standard_normal(len(time))
    noisy: NDArray[np.float64] = 0.3 * voice / np.abs(voice).max() + noise
    return noisy.astype(np.float32)


def batch_of(seed: int) -> dict[str, Floats]:
    """Cut speech into what the graph takes: windows with some of the one before, and no state."""
    sound = np.concatenate([np.zeros(CONTEXT, np.float32), make_speech(seed)])
    windows = np.lib.stride_tricks.sliding_window_view(sound, CONTEXT + HOP)[::HOP]
    state = np.zeros((1, 1, UNITS), np.float32)
    return {"input": np.ascontiguousarray(windows), "h": state, "c": state}


def probabilities(model: Path) -> Floats:
    """Run a graph over speech that it was not calibrated with."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [session.get_outputs()[0].name]
    outputs = [session.run(names, batch_of(seed))[0].ravel() for seed in range(100, 104)]
    return np.concatenate(outputs)


def pack(model: Path, folder: Path, budget: int = BUDGET) -> tuple[int, float]:
    """
    Pack a graph to a budget, unpack it, and run both.

    Args:
        model: The graph.
        folder: Where files go.
        budget: Bytes of the packed file.

    Returns:
        Bytes of the file, and the mean change of the probabilities of speech.

    """
    result = artpack.compress(
        model,
        budget=budget,
        calibration_batches=[batch_of(seed) for seed in range(8)],
        profile="fast",
        jobs=2,
    )
    packed, unpacked = folder / "voice.artpack", folder / "voice.onnx"
    size = result.save(packed)
    artpack.unpack(packed, unpacked)
    before, after = probabilities(model), probabilities(unpacked)
    change = float(np.abs(after - before).mean())
    agreed = float(((after > 0.5) == (before > 0.5)).mean())
    print(f"{model.stat().st_size:,} -> {size:,} bytes, {model.stat().st_size / size:.1f} times")
    print(f"probability of speech: changed by {change:.4f}; {agreed:.1%} of decisions the same")
    return size, change


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        pack(find_model(Path(name)), Path(name))
