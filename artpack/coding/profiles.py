"""
Profiles: the candidate pipelines of a search, and which of them code all of the data.

rANS and the adaptive coder are in each. ``fast`` adds a quick byte codec; ``default`` adds
rANS with classes and the strong codecs, context mixing among them. ``max`` adds every packing,
row sorting and the slowest model, more finalists, and takes no sample's word for who loses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from artpack.coding.codecs import STANDARD, Brotli, Lzma, Stored, Zpaq, Zstd
from artpack.coding.layouts import Columns, Rows, SimilarRows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import (
    Adaptive,
    Base3,
    Base5,
    Base5Word,
    Bits,
    Bytes,
    ClassedRans,
    Planes,
    Rans,
)
from artpack.errors import UsageError
from artpack.stages import Codec, Layout, SymbolCoder, nearest


@dataclass(frozen=True)
class Profile:
    """
    The candidates of a search.

    Attributes:
        name: What the command line calls it.
        layouts: Orders that are tried, plain rows first.
        entropy_coders: Symbol coders whose bytes no codec can shrink; they always
            code all of the data. The first takes part whatever the deadline.
        packings: Other symbol coders, where they accept the alphabet.
        codecs: What is tried on the bytes of the packings.
        finalists: How many of the packings, after pre-screening, code all of the data.
        exhaustive: Every entropy coder codes all of the data, whatever samples say, and
            packings are screened by their own bytes alone.
        alike: Candidates only where rows resemble each other, and are few enough.
    """

    name: str
    layouts: tuple[Layout, ...]
    entropy_coders: tuple[SymbolCoder, ...]
    packings: tuple[SymbolCoder, ...]
    codecs: tuple[Codec, ...]
    finalists: int
    exhaustive: bool = False
    alike: tuple[Pipeline, ...] = ()

    def without(self, coder: type[SymbolCoder]) -> "Profile":
        """Return the same without an entropy coder."""
        kept = tuple(one for one in self.entropy_coders if not isinstance(one, coder))
        return replace(self, entropy_coders=kept)

    def portable(self) -> "Profile":
        """Return the same without candidates that need a library to be read."""
        codecs = tuple(codec for codec in self.codecs if isinstance(codec, STANDARD))
        alike = tuple(one for one in self.alike if one.portable)
        return replace(self, codecs=codecs or (Lzma(),), alike=alike)

    def certain(self, states: int = 1, *, flat: bool) -> Iterator[Pipeline]:
        """
        List the candidates that need no screening.

        Args:
            states: Of the trellis that runs down the parts' columns, 1 for none.
            flat: All parts are single rows or columns: their order is what it is.

        Yields:
            Pipelines in the order that breaks ties; rANS, to which order is
            nothing, and the adaptive coder, which sees rows and columns, only with
            plain rows.

        """
        for coder in self.entropy_coders:
            fitted = replace(coder, states=states) if isinstance(coder, Adaptive) else coder
            plain = flat or isinstance(coder, (Rans, Adaptive))
            for layout in self.layouts[:1] if plain else self.layouts:
                yield Pipeline(layout, fitted, Stored())

    def screened(self, alphabet: int, *, flat: bool) -> Iterator[Pipeline]:
        """
        List the candidates that are pre-screened on a sample.

        Args:
            alphabet: Number of symbols, 1 to 256.
            flat: All parts are single rows or columns: their order is what it is.

        Yields:
            Pipelines that can code this alphabet, in the order that breaks ties.

        """
        packings = [coder for coder in self.packings if coder.accepts(alphabet)]
        for layout in self.layouts[:1] if flat else self.layouts:
            for coder in packings:
                for codec in self.codecs:
                    yield Pipeline(layout, coder, codec)


_PLAIN = (Rows(), Columns())
_ENTROPY = (Rans(), ClassedRans(), Adaptive())
_PACKINGS = (Bytes(), Bits(), Planes(), Base3(), Base5(), Base5Word())
_STRONG = (Brotli(), Lzma(), Zpaq())

FAST = Profile("fast", _PLAIN, (Rans(), Adaptive()), (Bytes(),), (Zstd(level=3),), finalists=1)
DEFAULT = Profile(
    "default",
    _PLAIN,
    _ENTROPY,
    (Bytes(),),
    (Stored(), *_STRONG),
    finalists=2,
    alike=tuple(Pipeline(SimilarRows(), Bytes(), Zpaq(model)) for model in ("symbols", "general")),
)
MAX = Profile(
    "max",
    (*_PLAIN, SimilarRows()),
    _ENTROPY,
    _PACKINGS,
    (Stored(), Zstd(), *_STRONG, Zpaq(model="general")),
    finalists=6,
    exhaustive=True,
)
PROFILES = {profile.name: profile for profile in (FAST, DEFAULT, MAX)}


def profile_named(name: str) -> Profile:
    """
    Look a profile up.

    Args:
        name: ``fast``, ``default`` or ``max``.

    Returns:
        The profile.

    Raises:
        UsageError: There is no such profile.

    """
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}{nearest(name, PROFILES)}")
    return PROFILES[name]
