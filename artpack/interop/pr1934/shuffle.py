"""
The byte shuffle that PR 1934 put before its compressor.

Source: parameter-golf pull request 1934, the containers before its per-group one.
"""

from artpack.errors import CorruptError

MAGIC = b"BSHF"


def shuffle(data: bytes, *, stride: int = 2) -> bytes:
    r"""
    Put the bytes at even places before those at odd ones, the high bytes of fp16 together.

    Args:
        data: Any bytes.
        stride: 1 to 255; the number of kinds of places.

    Returns:
        A magic number, the stride, and the bytes place by place; fewer bytes than the
        stride are left as they are.

    >>> shuffle(b"ABCDE")
    b'BSHF\x02ACEBD'
    """
    if len(data) < stride:
        return data
    planes = b"".join(data[place::stride] for place in range(stride))
    return MAGIC + bytes([stride]) + planes


def unshuffle(data: bytes) -> bytes:
    r"""
    Undo :func:`shuffle`.

    Args:
        data: Beginning with the magic number.

    Returns:
        The bytes in their own order.

    Raises:
        CorruptError: The stride is missing or zero.

    >>> unshuffle(b"BSHF\x02ACEBD")
    b'ABCDE'

    """
    start = len(MAGIC) + 1
    stride = data[start - 1] if len(data) >= start else 0
    if not stride:
        raise CorruptError("byte shuffle: the stride is missing or zero")
    restored = bytearray(len(data) - start)
    at = start
    for place in range(stride):
        size = len(restored[place::stride])
        restored[place::stride] = data[at : at + size]
        at += size
    return bytes(restored)
