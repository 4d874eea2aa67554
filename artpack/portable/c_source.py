"""A decoder of all portable artifacts in one file of C99, put together of its parts."""

from importlib.resources import files

from artpack.version import __version__

PARTS = (
    *("interface", "memory", "sha256", "lzma"),
    *("cbor", "values", "floats", "stages", "tensors", "header", "streams", "outputs"),
    *("layouts", "coders", "rans", "classed", "trellis"),
    *("adaptive_tables", "adaptive_stream", "adaptive_matrices", "decode"),
    *("grids", "lattices", "weights", "load", "main"),
)
"""Files in ``c/``, in the order that they need: each stands on those before it."""


def c_source() -> str:
    """
    Write the decoder.

    Returns:
        C99, in ASCII: ``artpack_load`` and ``artpack_free``, explained at its top.

    >>> c_source().splitlines()[2]
    ' * A decoder of artpack artifacts in C99, with the C library and nothing else.'

    """
    folder = files("artpack.portable") / "c"
    parts = [(folder / f"{part}.c").read_text(encoding="utf-8") for part in PARTS]
    return f"/* Written by artpack {__version__}. */\n" + "".join(parts)
