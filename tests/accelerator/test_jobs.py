"""Jobs give the same numbers on another device, and forget no tensor on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """import sys, torch
def without_gradients(mode=True):  # instead of what backends in Python do not have
    return torch.no_grad() if mode else torch.enable_grad()
torch.inference_mode = without_gradients
from tests.accelerator.jobs import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "names",
    [
        ("score", "scalars", "lora"),
        *(
            pytest.param((one,), marks=pytest.mark.slow)
            for one in ("blocks", "phased", "audit", "calibrate", "train")
        ),
    ],
)
def test_jobs_give_the_cpus_numbers(names: tuple[str, ...]) -> None:
    # In a process of its own: a device cannot be taken out of torch again.
    command = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_device_refuses_mixing() -> None:
    code = (
        "import torch; from tests.accelerator.device import install; d = install()\n"
        "there, here = torch.ones(2, device=d), torch.ones(2)\n"
        "assert str(there.device) == 'elsewhere:0' and (there + there).cpu().tolist() == [2, 2]\n"
        "for wrong in (lambda: there + here, there.numpy):\n"
        "    try: wrong()\n"
        "    except (RuntimeError, TypeError): pass\n"
        "    else: raise AssertionError('mixed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
