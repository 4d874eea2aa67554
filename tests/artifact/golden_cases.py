"""The golden artifacts: between them every stage that a file can name, and its edges."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path

import torch
from torch import Generator, Tensor

from artpack.artifact.plan import Member, StreamPlan
from artpack.checkpoint import Bank, Tie
from artpack.coding.codecs import Brotli, Lrzip, Lzma, Stored, Zpaq, Zstd
from artpack.coding.layouts import LAYOUTS, Columns, Rows, SimilarRows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import (
    SYMBOL_CODERS,
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
from artpack.quantize import (
    Bf16,
    Fp8,
    Fp16,
    GroupLevels,
    Lattice,
    LowRank,
    Raw,
    RowAsymInt,
    RowInt,
    RowPentanary,
)
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.grids.raw import DTYPES
from artpack.quantize.rounding.clips import Clip, GivenClip, MseClip, PercentileClip, StdClip
from artpack.quantize.scales import Fp32Scales, LogDeltaScales
from artpack.stages import Codec, Quantizer
from artpack.stages.trellis import POLYNOMIALS
from tests.artifact.golden_content import RANS, Content, Entry

FOLDER = Path(__file__).parent / "v1"

BEFORE = (
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("complex128", "complex64", "int64", "int32", "int16", "int8"),
    *("uint64", "uint32", "uint16", "uint8", "bool"),
)
"""The types that the first files could hold, in the order of their case."""

INT4, INT6 = RowInt(4, StdClip(3.0)), RowInt(6, StdClip(12.85))
EMPTY_OR_ODD = [(), (1,), (7,), (0,), (3, 0, 2), (5, 1), (2, 3, 4), (1, 2, 1, 2, 1, 1, 1, 2)]


def matrix(draw: Generator, rows: int, cols: int) -> Tensor:
    """Return rows of very different scale, the fourth of zeros."""
    scales = torch.tensor([1.0, 0.02, 30.0, 0.0, 0.3]).repeat(-(-rows // 5))[:rows]
    return torch.randn(rows, cols, generator=draw) * scales.unsqueeze(1)


def numbered(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {f"{n}.{entry.quantizer.stage_id}": entry for n, entry in enumerate(entries)}


def grids(draw: Generator) -> Content:
    """Every grid with every rule and all of its scales, in every type that a weight may have."""
    clips: tuple[Clip, ...] = (StdClip(12.85), PercentileClip(99.5), MseClip())
    quantizers: list[Quantizer] = [
        *(RowInt(bits, clip) for bits, clip in zip(range(2, 9), cycle(clips), strict=False)),
        *(
            RowInt(5, clip, LogDeltaScales(bits))
            for clip, bits in zip(clips, (4, 5, 8), strict=True)
        ),
        *(GroupLevels(radius, group) for radius in (1, 2) for group in (1, 5, 13, 64)),
        *(GroupLevels(2, 5, LogDeltaScales(bits)) for bits in (4, 5, 8)),
        RowPentanary(),
        *(RowAsymInt(bits) for bits in range(2, 9)),
        Fp8(),
        Fp16(),
        Bf16(),
    ]
    dtypes = cycle((torch.float32, torch.bfloat16, torch.float16, torch.float64))
    return Content(
        numbered(
            Entry(matrix(draw, 5, 13).to(dtype), quantizer)
            for quantizer, dtype in zip(quantizers, dtypes, strict=False)
        )
    )


def shapes(draw: Generator) -> Content:
    """Tensors without dimensions, without elements, with one column, with eight dimensions."""
    quantizers = (
        RowInt(4, MseClip(), LogDeltaScales(5)),
        GroupLevels(2, 3),
        RowPentanary(),
        RowAsymInt(3),
        Fp8(),
        Bf16(),
        Raw("float32"),
    )
    return Content(
        numbered(
            Entry(torch.randn(shape, generator=draw), quantizer)
            for shape in EMPTY_OR_ODD
            for quantizer in quantizers
        )
    )


def raws(draw: Generator) -> Content:
    """Tensors of every type, of any bits at all: NaN and infinity among them."""
    return Content(numbered(any_bits(draw, BEFORE)))


def later(draw: Generator) -> Content:
    """What came after the first files: types of torch, scales in fp32, stacks of several axes."""
    slices = tuple(f"experts.{layer}.{expert}" for layer in range(2) for expert in range(3))
    entries = {
        **numbered(any_bits(draw, sorted(set(DTYPES) - set(BEFORE)))),
        **numbered(
            Entry(matrix(draw, 5, 13) * 1e-8, quantizer)
            for quantizer in (RowInt(6, MseClip(), Fp32Scales()), GroupLevels(1, 5, Fp32Scales()))
        ),
        **{name: Entry(matrix(draw, 4, 6), INT6) for name in slices},
    }
    outputs = (*(name for name in entries if name not in slices), "experts")
    return Content(entries, outputs=outputs, banks=(Bank("experts", slices, (2, 3)),))


def any_bits(draw: Generator, names: Iterable[str]) -> list[Entry]:
    """Return tensors of these types, of three shapes each, of random bits."""
    entries = []
    for name in names:
        dtype = DTYPES[name]
        levels = 2 if dtype == torch.bool else 256
        for shape in ((5, 3), (), (2, 0)):
            count = torch.Size(shape).numel() * dtype.itemsize
            content = torch.randint(0, levels, (count,), generator=draw, dtype=torch.uint8)
            entries.append(Entry(content.view(dtype).reshape(shape), Raw(name)))
    return entries


def coders(draw: Generator) -> Content:
    """Every symbol coder with every kind of alphabet it takes, at a size that fills no word."""
    quantizers: tuple[Quantizer, ...] = (
        GroupLevels(1, 7),
        GroupLevels(2, 7),
        RowInt(3, MseClip()),
        RowAsymInt(4),
        RowInt(8, PercentileClip(100.0)),
        Fp8(),
        Raw("bool"),
    )
    weight = torch.randn(7, 13, generator=draw)
    made = (Bytes(), Bits(), Base3(), Base5(), Base5Word(), Planes(), Rans(), ClassedRans())
    assert {coder.stage_id for coder in made} == SYMBOL_CODERS.keys() - {"adaptive"}
    return Content(
        numbered(
            Entry(
                weight > 0 if quantizer == Raw("bool") else weight,
                quantizer,
                Pipeline(Rows(), coder, Stored()),
            )
            for quantizer in quantizers
            for coder in made
            if coder.accepts(quantizer.parts((1, 1))[0].alphabet)
        )
    )


def rans(draw: Generator) -> Content:
    """Tables with gaps and without, one symbol alone, a rare one, fewer symbols than a word."""
    flat = torch.randint(0, 256, (3000,), generator=draw, dtype=torch.uint8)
    rare = torch.zeros(4000, dtype=torch.uint8)
    rare[1234] = 200
    contents = {
        "gaussian": (torch.randn(3000, generator=draw) * 9 + 128).to(torch.uint8),
        "flat": flat[:700],
        "gaps": flat[:900] // 50 * 50,
        "rare": rare,
        "alone": torch.full((500,), 77, dtype=torch.uint8),
        "two": flat[:31] % 2,
        "four": torch.tensor([3, 1, 4, 1], dtype=torch.uint8),
        "one": torch.tensor([255], dtype=torch.uint8),
        "none": torch.empty(0, dtype=torch.uint8),
    }
    entries = {name: Entry(content, Raw("uint8")) for name, content in contents.items()}
    streams = [
        StreamPlan((Member(t, 0, 0, content.numel()),), RANS)
        for t, content in enumerate(contents.values())
    ]
    return Content(entries, streams)


def classes(draw: Generator) -> Content:
    """Columns of very different scale, sorted into classes, and too few symbols for that."""
    classed = Pipeline(Columns(), ClassedRans(), Stored())
    spread = 2.0 ** torch.arange(-6, 0).repeat_interleave(11)
    largest = PercentileClip(100.0)
    return Content(
        numbered(
            Entry(content, quantizer, classed)
            for content, quantizer in (
                (torch.randn(64, 66, generator=draw) * spread, RowInt(6, largest)),
                (torch.randn(3, 4, generator=draw), RowInt(5, largest)),
                (torch.full((8, 8), 0.5), RowInt(4, largest)),
                (torch.empty(0), RowInt(3, largest)),
            )
        )
    )


def adaptive(draw: Generator) -> Content:
    """Scaled rows and columns, columns that lean, every trellis, odd alphabets and shapes."""
    rows, cols = torch.randn(70, 1, generator=draw), torch.randn(40, generator=draw)
    spread = torch.randn(70, 40, generator=draw) * 2.0 ** (rows + cols)
    leaning = torch.randn(70, 40, generator=draw) + cols
    largest = PercentileClip(100.0)
    plain: tuple[tuple[Tensor, Quantizer], ...] = (
        (spread, RowInt(6, largest)),
        (leaning, RowInt(8, largest)),
        (leaning[:, :1], RowInt(5, largest)),
        (leaning[:1], RowInt(5, largest)),
        (leaning, RowAsymInt(2)),
        (leaning, GroupLevels(1, 7)),
        (leaning > 0, Raw("bool")),
        (torch.zeros(60, 50), RowInt(4, largest)),
        (torch.empty(0), RowInt(3, largest)),
    )
    return Content(
        numbered(
            [
                *(Entry(content, grid, _adaptive(1)) for content, grid in plain),
                *(Entry(spread, Lattice(n, 31), _adaptive(n)) for n in (1, *POLYNOMIALS)),
            ]
        )
    )


def _adaptive(states: int) -> Pipeline:
    return Pipeline(Rows(), Adaptive(states), Stored())


def layouts(draw: Generator) -> Content:
    """Every layout on parts of all proportions, several to a stream."""
    made = (Rows(), Columns(), SimilarRows())
    assert [layout.stage_id for layout in made] == list(LAYOUTS)
    sizes = ((33, 6), (1, 9), (9, 1), (2, 2), (6, 5))
    return Content(
        numbered(
            Entry(torch.randn(size, generator=draw), INT4, Pipeline(layout, Bytes(), Stored()))
            for layout in made
            for size in (*sizes, (0,))
        )
    )


def members(draw: Generator) -> Content:
    """Parts in pieces, over several streams and in any order."""
    entries = {
        name: Entry(torch.randn(shape, generator=draw), INT4)
        for name, shape in {"a": (12, 5), "b": (7, 5), "c": (9, 3)}.items()
    }
    mixed = (Member(0, 0, 8, 4), Member(2, 0, 0, 9), Member(1, 0, 0, 3))
    scales = (Member(2, 1, 4, 5), Member(0, 2, 0, 12), Member(1, 1, 0, 7), Member(1, 2, 0, 7))
    rest = (Member(2, 2, 0, 9), Member(0, 1, 0, 12), Member(2, 1, 0, 4))
    return Content(
        entries,
        [
            StreamPlan(mixed, Pipeline(SimilarRows(), Planes(), Lzma())),
            StreamPlan(scales, Pipeline(Columns(), Bits(), Stored())),
            StreamPlan((Member(1, 0, 3, 4),), Pipeline(Columns(), Bits(), Zstd())),
            StreamPlan((Member(0, 0, 0, 8),), RANS),
            StreamPlan(rest, Pipeline(SimilarRows(), Bytes(), Brotli())),
        ],
    )


def codecs(draw: Generator) -> Content:
    """Every codec that needs no program, on two thousand bytes, on one byte and on none."""
    return _codecs(
        draw,
        (
            Stored(),
            Zstd(),
            Zstd(level=3, window_log=10),
            Brotli(),
            Brotli(quality=5, window_log=16),
            Lzma(),
            Lzma(lc=0, lp=2, pb=1),
            Zpaq(),
            Zpaq(model="general"),
        ),
    )


def lrzip(draw: Generator) -> Content:
    """The codec that needs the program ``lrzip``."""
    return _codecs(draw, (Lrzip(), Lrzip(level=7)))


def _codecs(draw: Generator, made: Sequence[Codec]) -> Content:
    weight = matrix(draw, 32, 64)
    return Content(
        numbered(
            Entry(content, quantizer, Pipeline(Rows(), Bytes(), codec))
            for codec in made
            for content, quantizer in (
                (weight, INT6),
                (weight[0, 0], INT4),
                (weight[:, :0], GroupLevels(1, 4)),
            )
        )
    )


def outputs(draw: Generator) -> Content:
    """Ties, banks, a tie to a bank, and everything that the header can say besides."""
    heads = ("attn.c_q.weight", "attn.proj.weight")
    slices = tuple(f"blocks.{layer}.{head}" for head in heads for layer in range(2))
    weights = {
        "tok_emb.weight": torch.randn(16, 6, generator=draw),
        **{name: torch.randn(6, 6, generator=draw) for name in slices},
        "größe": torch.randn(6, generator=draw).bfloat16(),
    }
    return Content(
        {name: Entry(weight, INT6) for name, weight in weights.items()},
        outputs=("lm_head.weight", "größe", "tok_emb.weight", "bank_again", "qo_bank"),
        ties=(Tie("lm_head.weight", "tok_emb.weight"), Tie("bank_again", "qo_bank")),
        banks=(Bank("qo_bank", slices),),
        model={"layers": 2, "rope_base": 10000.0, "tied": True, "window": None, "norm": 1e-6},
        provenance={"made_by": "make_golden.py", "list": [-1, 1.5, "é", {}, []], "deep": {"a": {}}},
    )


def nothing(draw: Generator) -> Content:
    """No tensors."""
    return Content({})


def corrected(draw: Generator) -> Content:
    """Low-rank corrections of every inner grid in either packing, and steps from elsewhere."""
    given = RowInt(6, GivenClip())
    quantizers = (
        given,
        LowRank(given, 4, GroupFactors(64)),
        LowRank(RowInt(4, GivenClip(), LogDeltaScales(5)), 4, GroupFactors(5)),
        LowRank(RowAsymInt(4), 2, RowFactors(4)),
        LowRank(RowPentanary(), 3, RowFactors(8)),
        LowRank(GroupLevels(2, 5), 1, RowFactors(2)),
    )
    shapes = ((17, 13), (2, 30), (3, 5, 2), (9,), (), (0, 4))
    return Content(
        numbered(
            Entry(matrix(draw, 17, 13).flatten()[: math.prod(shape)].reshape(shape), quantizer)
            for quantizer in quantizers
            for shape in shapes
        )
    )


def lattices(draw: Generator) -> Content:
    """Every trellis and the plain grid, from the smallest radius and resolution to the largest."""
    quantizers = (
        *(Lattice(states, 31) for states in (1, *POLYNOMIALS)),
        Lattice(1, 127, 1),
        Lattice(8, 1, 64),
        Lattice(64, 127, 7),
    )
    shapes = ((17, 13), (300, 2), (3, 5, 2), (9,), (), (0, 4))
    weight = matrix(draw, 300, 13)
    return Content(
        numbered(
            Entry(weight.flatten()[: math.prod(shape)].reshape(shape), quantizer)
            for quantizer in quantizers
            for shape in shapes
        )
    )


def wide_lattices(draw: Generator) -> Content:
    """Codes of two symbols: the least and the largest radius that have them."""
    quantizers = (Lattice(1, 128), Lattice(8, 255), Lattice(64, 8191), Lattice(256, 384))
    shapes = ((17, 13), (3, 5, 2), (), (0, 4))
    weight = matrix(draw, 300, 13)
    return Content(
        numbered(
            Entry(weight.flatten()[: math.prod(shape)].reshape(shape), quantizer)
            for quantizer in quantizers
            for shape in shapes
        )
    )


CASES: dict[str, Callable[[Generator], Content]] = {
    case.__name__: case
    for case in (
        grids,
        shapes,
        raws,
        coders,
        rans,
        classes,
        adaptive,
        layouts,
        members,
        codecs,
        lrzip,
        outputs,
        nothing,
        corrected,
        lattices,
        wide_lattices,
        later,
    )
}
