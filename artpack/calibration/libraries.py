"""The libraries whose rounding a calibration has in it."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from artpack.stages import Config


def library_versions(*modules: str) -> Config:
    """
    Look up versions of libraries.

    Args:
        *modules: Names of their modules, or of modules within; those of no library are left out.

    Returns:
        Name to version.

    >>> library_versions("torch.nn.modules.linear", "__main__").keys()
    dict_keys(['torch'])

    """
    found: Config = {}
    for name in dict.fromkeys(module.partition(".")[0] for module in modules):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
