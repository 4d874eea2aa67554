"""The saved state of an evaluation that learns, so that it can be interrupted."""

import json
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from artpack.errors import UsageError
from artpack.stages import Config
from artpack.stages.parsing import parse_json
from artpack.system.atomic import write_atomically
from artpack.system.ranks import Ranks

EVERY_S = 30.0


def own_path(path: Path) -> Path:
    """Return this process's own state file: of several, each adds its number."""
    ranks = Ranks.current()
    return (
        path if ranks.world == 1 else path.with_name(f"{path.name}.{ranks.rank}-of-{ranks.world}")
    )


class Keeper:
    """
    A state file; each process has its own.

    Args:
        path: The file. Of several processes, each adds its number.
        fingerprint: What the evaluation is: the state of another is refused.
        every_s: The file is written no more often.
    """

    def __init__(self, path: Path, fingerprint: Config, *, every_s: float = EVERY_S) -> None:
        self._path, self._every_s = own_path(path), every_s
        self._fingerprint = {**fingerprint, "processes": Ranks.current().world}
        self._written = time.monotonic()

    def read(self) -> tuple[int, dict[str, Tensor]] | None:
        """
        Return the steps that were done and the state after them.

        Returns:
            None if there is no file.

        Raises:
            UsageError: The file is no state, or that of another evaluation, or edited.

        """
        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            found, steps = (parse_json(metadata[key]) for key in ("fingerprint", "steps"))
            same = metadata["sha256"] == _digest(metadata, tensors)
        except (SafetensorError, KeyError, ValueError) as error:
            raise UsageError(f"{self._path}: not the state of an evaluation ({error})") from error
        if not isinstance(found, dict) or type(steps) is not int or steps < 0:
            raise UsageError(f"{self._path}: not the state of an evaluation")
        wrong = [key for key, value in self._fingerprint.items() if found.get(key) != value]
        if not same:
            raise UsageError(
                f"{self._path}: was changed since the evaluation wrote it; delete it and start anew"
            )
        if wrong:
            raise UsageError(
                f"{self._path}: the state of another evaluation: {', '.join(wrong)} differ;"
                " delete it or name another"
            )
        return steps, tensors

    def write(self, steps: int, state: Mapping[str, Tensor]) -> None:
        """Write the state, whole or not at all."""
        content = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        metadata = {"fingerprint": json.dumps(self._fingerprint), "steps": str(steps)}
        signed = {**metadata, "sha256": _digest(metadata, content)}
        write_atomically(self._path, [save(content, signed)])
        self._written = time.monotonic()

    def is_due(self) -> bool:
        """Return whether it is time to write again; processes that ask together may differ."""
        return time.monotonic() - self._written >= self._every_s

    def remove(self) -> None:
        """Delete the file: the evaluation is over."""
        self._path.unlink(missing_ok=True)


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of all that an evaluation carries on from."""
    whole = sha256()
    for key in ("fingerprint", "steps"):
        whole.update(json.dumps([key, metadata[key]]).encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        whole.update(tensor.contiguous().flatten().view(uint8).numpy().data)
    return whole.hexdigest()
