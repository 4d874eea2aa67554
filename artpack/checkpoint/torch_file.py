"""Files of ``torch.save``: mapped where their format allows, never allowed to run anything."""

import pickle
import re
import zipfile
from pathlib import Path

from artpack.checkpoint.saved import ZIP_MAGIC, load_saved
from artpack.checkpoint.source import Loaded, Source, reason
from artpack.checkpoint.state_dict import find_state_dict
from artpack.errors import CheckpointError
from artpack.system.bounded import open_bounded

_TAKEN = ".safetensors"
"""Files of this name torch reads as what they are not, unless they are opened for it."""

_PICKLE_MAGIC = b"\x80"
_GLOBAL = re.compile(r"GLOBAL (\S+)")


def torch_source(path: Path, *, key: str | None = None) -> Source:
    """
    Open a file of ``torch.save``.

    Only what ``torch.load(weights_only=True)`` builds is accepted. Files in the
    format that PyTorch had before 1.6, and archives that someone compressed,
    cannot be mapped and are read whole.

    Args:
        path: The file, whatever its suffix.
        key: Where in it the state dict is, dots between the levels.

    Returns:
        Its tensors.

    Raises:
        CheckpointError: The file is damaged, is something else, or wants more
            than tensors and plain containers.

    Source: PyTorch, ``torch.serialization``.

    """
    if _can_be_mapped(path) and path.suffix != _TAKEN:
        return Source((path,), lambda: _load(path, key, mmap=True))
    loaded = _load(path, key, mmap=False)
    note = "read whole into memory: save it again with torch.save to have it mapped"
    whole = Loaded(loaded.tensors, (*loaded.notes, note))
    return Source((path,), lambda: whole)


def _can_be_mapped(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            magic = file.read(len(ZIP_MAGIC))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)})") from error
    if magic == ZIP_MAGIC:
        return not _is_compressed(path)
    if not magic.startswith(_PICKLE_MAGIC):
        what = f"starts with {magic!r}" if magic else "is empty"
        raise CheckpointError(f"{path}: not a file of torch.save, it {what}")
    return False


def _is_compressed(path: Path) -> bool:
    """Look for records that torch would map as if their compressed bytes were weights."""
    try:
        with open_bounded(path) as file, zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except Exception as error:
        raise CheckpointError(f"{path}: {_explain(error)}") from error
    return any(record.compress_type != zipfile.ZIP_STORED for record in records)


def _load(path: Path, key: str | None, *, mmap: bool) -> Loaded:
    try:
        content = load_saved(path, mmap=mmap)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:
        raise CheckpointError(f"{path}: {_explain(error)}") from error
    return find_state_dict(content, key=key, where=str(path))


def _explain(error: Exception) -> str:
    """Say what torch.load missed; its own message is a page that advises to run the file."""
    refused = isinstance(error, pickle.UnpicklingError)
    wanted = _GLOBAL.search(str(error)) if refused else None
    if wanted:
        return (
            f"wants {wanted.group(1)}, and nothing but tensors is loaded; "
            "save the weights alone: torch.save(model.state_dict(), ...)"
        )
    cause = error.__context__ if refused and error.__context__ else error
    return f"damaged, or not weights saved by torch.save ({reason(cause)})"
