"""
A wheel, tried where nobody sees the repository.

Its environment is new and has nothing but the wheel; what the wheel needs is found in the
environment that runs this::

    python tests/wheel.py dist/artpack-*.whl
"""

import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import artpack

MODULES = """
import importlib, pkgutil, artpack, artpack_cli
for package in (artpack, artpack_cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(artpack.__file__)
"""


def main() -> None:
    """Install the wheel and use it."""
    (wheel,) = sys.argv[1:]
    with TemporaryDirectory() as name:
        folder = Path(name)
        environment = install(Path(wheel).resolve(), folder / "venv")
        home = run(folder, environment / "python", "-c", MODULES)
        if not home.startswith(str(environment.parent)):
            sys.exit(f"artpack is imported from {home}")
        weights = {f"layers.{i}.weight": torch.ones(64, 64) for i in range(4)}
        artpack.compress(weights, recipe="int8", profile="fast").save(folder / "a.artpack")
        # Nothing here decodes: kernels would be compiled, which takes a minute in a new place.
        for words in (("inspect", "a.artpack"), ("recipes",), ("models",), ("demo", "--help")):
            run(folder, environment / "artpack", *words)


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with a wheel and return where its programs are."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    run(folder, programs / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    packages = next(folder.glob("lib/python*/site-packages"))
    # A path in a .pth file comes last, and .pth files there are not read: no editable install.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    return programs


def run(folder: Path, *words: str | Path) -> str:
    """Run a program in a folder; return what it printed."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
