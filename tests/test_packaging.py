"""What pyproject.toml says of the packages is true."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_installed() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    folders = [path.parent.relative_to(ROOT) for path in ROOT.glob("artpack/**/__init__.py")]
    commands = [path.parent.relative_to(ROOT / "cli") for path in ROOT.glob("cli/**/__init__.py")]
    there = {".".join(folder.parts) for folder in folders}
    there |= {".".join(("artpack_cli", *folder.parts)) for folder in commands}
    assert set(tools["setuptools"]["packages"]) == there


def test_data_of_the_package_is_installed() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    data = tools["setuptools"]["package-data"]
    for package, folder in (("artpack", ROOT / "artpack"), ("artpack_cli", ROOT / "cli")):
        found = {path for pattern in data[package] for path in folder.glob(pattern)}
        others = {
            path
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc")
        }
        assert found == others
