"""
A small trained model that comes with the package, and the text to try it on.

A model of about a million parameters, trained by ``artpack train`` on the King James
Bible of 1611 (in the public domain). docs/TRAINING.md has the command. Chapters to
calibrate with are among those it was trained on; those to score it on are not.
"""

from importlib.resources import files
from pathlib import Path

from artpack.errors import UsageError
from artpack.system.atomic import write_atomically

CHECKPOINT = "model.safetensors"
TOKENIZER = "tokenizer.model"
CALIBRATION = "calibration.bin"
HELD_OUT = "held_out.bin"
CONFIG = "config.json"
FILES = (CHECKPOINT, CONFIG, TOKENIZER, CALIBRATION, HELD_OUT)
WINDOW_TOKENS = 256
"""The window that the model was trained with."""


def write_demo(folder: Path) -> None:
    """
    Write the demo's files into a folder, as if it had been trained there.

    Args:
        folder: Where to; made if it is missing.

    Raises:
        UsageError: There are other files of these names.
        OSError: It cannot be written to.

    """
    folder.mkdir(parents=True, exist_ok=True)
    data = files("artpack.demo").joinpath("data")
    contents = {folder / name: data.joinpath(name).read_bytes() for name in FILES}
    for path, content in contents.items():
        if path.exists() and path.read_bytes() != content:
            raise UsageError(f"{path}: not the demo's: give another folder")
    for path, content in contents.items():
        write_atomically(path, [content])
