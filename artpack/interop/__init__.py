"""
The containers that other systems write, read and written.

::

    FILE ─► read_container ─► Container: named tensors in artpack's grids ─► repack ─► ARTIFACT
    ARTIFACT ─► from_artifact ─► Container ─► write_container ─► FILE

One module a format; :data:`FORMATS` says which system writes it. Nothing of a
stranger's file is run, and every size is checked before anything of that size is made.
"""

from artpack.interop.container import Container, StoredTensor
from artpack.interop.formats import FORMATS, read_container, write_container
from artpack.interop.repack import from_artifact, repack

__all__ = [
    "FORMATS",
    "Container",
    "StoredTensor",
    "from_artifact",
    "read_container",
    "repack",
    "write_container",
]
