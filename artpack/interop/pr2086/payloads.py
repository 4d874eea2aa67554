"""
The payloads of PR 2086's container, and the references to them in its metadata.

Source: parameter-golf pull request 2086.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from artpack.errors import CorruptError
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.fields import as_count, as_dict, as_tensor, pop, same
from artpack.interop.pr2086.five_levels import RAW
from artpack.interop.wrapping import encode_xz

REFERENCE = "__BULK_REF_V2__"
PRESET = 9
BULK_BYTES = 65536
"""Plain tensors from this size on go into payloads."""


class Payloads:
    """
    Decoded payloads, each to be used once.

    Args:
        bodies: By number.
    """

    def __init__(self, bodies: list[bytes]) -> None:
        self._left = dict(enumerate(bodies))

    def take(self, value: object, where: str) -> tuple[bytes, dict[str, Any]]:
        """
        Follow a reference.

        Args:
            value: What the metadata say in the payload's place.
            where: Whose it is, for messages.

        Returns:
            The payload, and what else the reference says.

        Raises:
            CorruptError: It is no reference, or its payload is missing or was used before.

        """
        reference = as_dict(value, f"{where}: a reference").copy()
        if not same(reference.pop("_v2", None), REFERENCE):
            raise CorruptError(f"{where}: this is no reference to a payload")
        number = as_count(pop(reference, "idx", where), f"{where}: the payload's number")
        if number not in self._left:
            raise CorruptError(f"{where}: payload {number} is missing, or used before")
        return self._left.pop(number), reference

    def check_all_used(self) -> None:
        """
        Check that every payload was asked for.

        Raises:
            CorruptError: One was not.

        """
        if self._left:
            raise CorruptError(f"payload {min(self._left)} belongs to no tensor")


@dataclass
class NewPayloads:
    """
    Payloads that are being written.

    Attributes:
        bodies: The bytes of each, and what xz makes of them.
    """

    bodies: list[tuple[bytes, bytes]] = field(default_factory=list)

    def add(self, candidates: Mapping[int, bytes]) -> tuple[int, dict[str, Any]]:
        """
        Add a payload.

        Args:
            candidates: Number of a layout to the bytes in it; the one that xz makes
                shortest is taken, the first of equally short ones.

        Returns:
            The number of the layout, and the reference.

        """
        packed = {layout: encode_xz(raw, preset=PRESET) for layout, raw in candidates.items()}
        layout = min(packed, key=lambda layout: len(packed[layout]))
        self.bodies.append((candidates[layout], packed[layout]))
        return layout, {"_v2": REFERENCE, "idx": len(self.bodies) - 1, "layout": layout}


def read_plain(
    value: object, payloads: Payloads, where: str, dtype: torch.dtype | None = None
) -> Tensor:
    """
    Read a tensor that lies in the metadata or in a payload.

    Args:
        value: The tensor, or a reference to it.
        payloads: Where large values are.
        where: What it is, for messages.
        dtype: What it must be; None for anything.

    Returns:
        The tensor.

    Raises:
        ArtifactError: It is no such tensor, or its payload does not decode.

    """
    if isinstance(value, dict):
        body, reference = payloads.take(value, where)
        if not same(reference, {"layout": RAW}):
            raise CorruptError(f"{where}: the payload is no tensor")
        value = read_archive(body)
    return as_tensor(value, where, dtype) if dtype is not None else as_tensor(value, where)


def write_plain(tensor: Tensor, payloads: NewPayloads) -> Tensor | dict[str, Any]:
    """
    Undo :func:`read_plain`.

    Args:
        tensor: Any tensor.
        payloads: Where to add it if it is large.

    Returns:
        The tensor, or a reference to it.

    """
    if tensor.nbytes < BULK_BYTES:
        return tensor
    return payloads.add({RAW: write_archive(tensor)})[1]
