"""
The program of one fresh process: it runs an evaluator, which can leave nothing behind.

It is started by its path and imports nothing of artpack. On Linux, Landlock forbids the
process and its children to write anywhere but in its own folder, which is deleted.

Source: Linux, Documentation/userspace-api/landlock.rst.
"""

import ctypes
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVILEGES = 38
_WRITE_FILE = 1 << 1
_MAKE_AND_REMOVE = 0b1_1111_1111 << 4
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_SOCKETS_AND_SIGNALS = 0b11
_DEVICE_FOLDERS = ("/dev/dri", "/dev/nvidia-caps", "/dev/pts")


def isolates() -> bool:
    """Return whether this system can keep a process from writing outside a folder."""
    return _version() > 0


def _version() -> int:
    if sys.platform != "linux":
        return 0
    return ctypes.CDLL(None).syscall(_CREATE, None, 0, 1)  # type: ignore[no-any-return]


def restrict(folder: str) -> None:
    """
    Forbid this process to write anywhere but in a folder, where the system can.

    Args:
        folder: Where it may write; devices may be written to, too.

    Raises:
        OSError: The system can, but did not.

    """
    version = _version()
    if version < 1:
        return
    handled = _WRITE_FILE | _MAKE_AND_REMOVE
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    words = [handled, 0, _SOCKETS_AND_SIGNALS] if version >= 6 else [handled]
    asked = b"".join(word.to_bytes(8, sys.byteorder) for word in words)
    rules = _system_call(_CREATE, asked, len(asked), 0)
    for path, access in {folder: handled, **dict.fromkeys(_devices(), _WRITE_FILE)}.items():
        opened = os.open(path, os.O_PATH)
        rule = access.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
        _system_call(_ADD, rules, 1, rule, 0)
        os.close(opened)
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _system_call(_RESTRICT, rules, 0)


def _devices() -> list[str]:
    """Return what is written to and keeps nothing: no /dev/shm."""
    single = [path for path in Path("/dev").iterdir() if path.is_char_device()]
    return [*map(str, single), *filter(os.path.isdir, _DEVICE_FOLDERS)]


def _system_call(number: int, *arguments: Any) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result: int = library.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "the process cannot be isolated")
    return result


def find_function(name: str) -> Callable[..., Any]:
    """
    Import what ``module:function`` or ``file.py:function`` names.

    Args:
        name: The name.

    Returns:
        The function.

    """
    home, _, path = name.rpartition(":")
    found: Any
    if home.endswith(".py"):
        sys.path.insert(0, str(Path(home).parent))
        home = Path(home).stem
    found = importlib.import_module(home)
    for part in path.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def main() -> None:
    """Do what the first argument says, as JSON."""
    job = json.loads(sys.argv[1])
    restrict(job["folder"])
    if job["command"]:
        code = subprocess.run(job["command"], check=False).returncode  # noqa: S603 - what was asked for
    else:
        code = 0
        _call(job)
    Path(job["peak"]).write_text(str(_peak_bytes()))
    sys.exit(code if code >= 0 else 128 - code)


def _call(job: dict[str, Any]) -> None:
    sys.path.extend(path for path in job["paths"] if path not in sys.path)
    import numpy as np  # noqa: PLC0415 - a command needs none

    streams = [np.load(path) for path in job["tokens"]]
    evaluate = find_function(job["function"])
    answer: Any = None
    for stream in streams:
        answer = evaluate(stream)
    losses, count = answer if isinstance(answer, tuple) else (answer, None)
    np.save(job["losses"], np.asarray(losses), allow_pickle=False)
    if count is not None:
        Path(job["bytes"]).write_text(str(int(count)))


def _peak_bytes() -> int:
    """Return the most memory that this process or one that it started has held."""
    scale = 1 if sys.platform == "darwin" else 1024
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * scale
    status = Path("/proc/self/status")
    if not status.exists():
        return max(started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
    # What getrusage says of this process includes the one that it was forked from.
    own = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return max(started, int(own.split()[1]) * 1024)


if __name__ == "__main__":
    main()
