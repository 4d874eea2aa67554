"""
ZPAQ: context mixing, in process, with nobody's programs but ours.

A ZPAQ block begins with a program that computes the contexts of its model, and
the data may carry a second one that transforms the output. A decoder compiles
and runs both. They may loop forever or ask for gigabytes, so what a stranger
wrote must not run:

- The block header, program included, is never stored. It follows from ``model``
  and is put back on decoding, together with all other framing.
- The program that is put back is the encoder's plus a *guard*. The machine runs
  it after each decoded byte and before the byte goes anywhere, so the guard can
  stop the decoder there: after ``size`` bytes, which ends bombs, or when the
  first byte announces a second program.
- Coded data never contain four zero bytes in a row; these mark the end. So
  nothing that holds them is decoded, and no second block can be smuggled in
  behind the first.

What is left of the overhead is four bytes: the announcement that there is no second
program, and the range coder's last state, written out in full. Memory is 9 MB for
``symbols`` and 116 MB for ``general``.

Source: the ZPAQ specification, version 2.06, and libzpaq 7.15.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import zpaq

from artpack.coding.codecs.exact import check_size
from artpack.errors import CorruptError, UsageError
from artpack.stages import ConfiguredStage, nearest


@dataclass(frozen=True)
class _Model:
    """
    A model by its two names.

    Attributes:
        method: What makes libzpaq choose it. It begins with ``x8``: blocks of 256 MiB.
        program: The block header that libzpaq writes then, without its two
            bytes of length and without the ``halt`` and ``end`` it closes with.
    """

    method: str
    program: bytes


_MODELS: Mapping[str, _Model] = {
    # Direct predictions from no context at five speeds of adaptation, and from the
    # last one and two bytes, mixed and refined. The fast ones follow the scale of a
    # row or column, which a code that knows only how often each symbol occurs misses.
    "symbols": _Model(
        "x8,0c256c64c20c7c2c256,0,255c256,0,255,255m0,6s8,32,255t0,4",
        bytes.fromhex(
            "091000000a0209ff02093f020913020906020901020fff0215ff0700000706ff09080720ff060008"
            "0704ff00126887ff58725f00345f01345f02345f03345f04345f05344a443c5f06344a443c09443c"
        ),
    ),
    # What libzpaq's level 5 does for text, its tables made small enough for any machine:
    # words, gaps, orders 0 to 7, matches, periods of two to four bytes.
    "general": _Model(
        "x8,0w2,65,26,223,20,6c0,1010,255i51c256ci1,1,51,51,51,51,52a24,6,6"
        "c0,2,0,255i31c0,3,0,0,255i31c0,4,0,0,0,255i41mm16ts17t0",
        bytes.fromhex(
            "0910000019031008100003110811020209ff0305080b0508110608110708110808110908110a0811"
            "0b041416030d08100e030d081010030e0810120708001418ff0710001518ff0608151418ff091116"
            "20ff0600171618ff00126887ff587245afdf8f41afffe71a2f115f00469714850170194697148501"
            "703f085f004619705f00345f023447ff870a58468aefff2f0247ff5f023c4a443c5f024a46193b70"
            "5f04345f05345f054a46193b0970193b0970193b0970193b0970193b0970193b0970193b093b705f"
            "0d4697188501705f0e3442af013c4a09443c5f0e4a46193b705f103442a7033c4a0909443c5f104a"
            "46193b705f123442af033c4a090909443c5f124a46193b705f15344a04cf0884cf08705f17344a04"
            "cf088409cf0884d707cf0870"
        ),
    ),
}

_MAX_BYTES = (1 << 28) - 4096

# "Locator tag", format, level 1, program type 1.
_BLOCK_START = bytes.fromhex("376b5374a03183d38cb228b0d3") + b"zPQ\x01\x01"
_HALT_END = b"\x38\x00"

# End of data, no checksum, end of block.
_END_MARK = b"\x00\x00\x00\x00"
_BLOCK_END = _END_MARK + b"\xfe\xff"


@dataclass(frozen=True)
class Zpaq(ConfiguredStage):
    """
    ZPAQ with one of two fixed models.

    Attributes:
        model: ``symbols`` for quantized weights, a symbol a byte, best where
            symbols of the same scale lie together. ``general`` for text, code
            and data that repeat; eight times slower.

    Over the int6 symbols of a trained model of 6 million weights, column by
    column, ``symbols`` stays 2.1% below their entropy of order 0, ``lrzip -z -L 9``
    1.9% and Brotli 0.7%. Row by row it is 0.1% below, lrzip 0.3% below and Brotli
    0.9% above.

    >>> Zpaq().decode(Zpaq().encode(b"weights"), size=7)
    b'weights'
    """

    stage_id: ClassVar[str] = "zpaq"
    model: str = "symbols"

    def __post_init__(self) -> None:
        if self.model not in _MODELS:
            raise UsageError(f"zpaq: unknown model {self.model!r}{nearest(self.model, _MODELS)}")

    def encode(self, data: bytes) -> bytes:
        """
        Compress, on one thread whatever the machine.

        Args:
            data: At most 2**28 - 4096 bytes.

        Returns:
            The arithmetic-coded data alone; nothing for nothing.

        Raises:
            UsageError: There are too many data, or the module ``zpaq`` is of a
                version that writes other programs.

        """
        if len(data) > _MAX_BYTES:
            raise UsageError(f"zpaq: takes at most {_MAX_BYTES} bytes, got {len(data)}")
        if not data:
            return b""
        model = _MODELS[self.model]
        block: bytes = zpaq.compress(data, method=model.method, threads=1, hints=False)
        comment = str(len(data)).encode()
        start = _block_start(model.program + _HALT_END, comment=comment)
        if not (block.startswith(start) and block.endswith(_BLOCK_END)):
            raise UsageError("zpaq: this version of the module is not known; install zpaq 0.3.7")
        return block[len(start) : -len(_BLOCK_END)]

    def decode(self, data: bytes, *, size: int) -> bytes:
        """Decompress."""
        if size > _MAX_BYTES:
            raise CorruptError(f"{self.stage_id}: a stream holds at most {_MAX_BYTES} bytes")
        if _END_MARK in data:
            raise CorruptError(f"{self.stage_id}: end mark inside the stream")
        if size == 0:
            return check_size(data, size=0, stage_id=self.stage_id)
        program = _MODELS[self.model].program + _guard(size) + _HALT_END
        try:
            decoded: bytes = zpaq.decompress(
                _block_start(program) + data + _BLOCK_END, verify=False, threads=1
            )
        except zpaq.Error as error:
            raise CorruptError(f"{self.stage_id}: not {size} coded bytes ({error})") from error
        return check_size(decoded, size=size, stage_id=self.stage_id)


def _block_start(program: bytes, *, comment: bytes = b"") -> bytes:
    """Return a block up to the data: one segment without a name."""
    length = len(program).to_bytes(2, "little")
    return _BLOCK_START + length + program + b"\x01\x00" + comment + b"\x00\x00"


def _guard(size: int) -> bytes:
    """
    Return ZPAQL that fails on a second program and on more than ``size`` bytes.

    It stands before the ``halt``. The registers A, D and R255 are free there: each
    run of a model's program begins by setting A and D, and none uses R. ``*c`` is
    the byte that was decoded. Past the ``halt`` lies ``end``, which is also the
    instruction that fails, so that is where the guard jumps.
    """
    limit = [bytes([n]) for n in (size + 1).to_bytes(4, "big")]
    shift = b"\xcf\x08"  # a<<= 8
    return b"".join(
        (
            b"\x07\xff",  # a=r 255      how many bytes came before
            b"\xdf\x00",  # a== 0
            b"\x2f\x06",  # jf           not the first: count it
            b"\x45",  # a=*c
            b"\xdf\x00",  # a== 0        0 announces plain data
            b"\x2f\x17",  # jf           to the end: fail
            b"\x04",  # a=0
            b"\x01",  # a++              count it
            b"\x37\xff",  # r=a 255
            b"\x58",  # d=a
            b"\x47" + limit[0],  # a=    the bytes promised and the announcement
            shift + b"\x87" + limit[1],  # a+=
            shift + b"\x87" + limit[2],
            shift + b"\x87" + limit[3],
            b"\xe3",  # a<d
            b"\x27\x01",  # jt           over the halt: fail
        )
    )
