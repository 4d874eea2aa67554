"""CaseOps: text, decoding errors, token ids and bytes of the original system, exactly."""

from typing import Any

from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens.byte_counts import ByteTable
from artpack.evaluation.tokens.caseops import decode, encode, surface_bytes, tokenize
from tests.golden.checks.case import Case
from tests.golden.checks.report import Report

TOKENIZER = "fineweb_8192_bpe_lossless_caps_caseops_v1_reserved.model"
FACTS = (
    "control_chars",
    "format",
    "generator",
    "ids",
    "lossless_caps_sha256",
    "luts",
    "pieces_0_15",
    "prepare_sha256",
    "sentencepiece_version",
    "tokenizer_sha256",
    "vocab_size",
)


def check(case: Case, report: Report) -> None:
    """Check ``caseops.json`` and the byte tables beside it."""
    if "caseops.json" not in case:
        return
    golden = case.entries("caseops.json")
    strings = golden.take("strings")
    what = f"{case.label} caseops.json"
    texts = [s["text"] for s in strings]
    encoded = [s["encoded"] for s in strings]
    report.exact(f"{what} encoded ({len(strings)} strings)", list(map(encode, texts)), encoded)
    report.exact(f"{what} decoded", list(map(decode, encoded)), [s["decoded"] for s in strings])
    _check_cases(f"{what} decode_cases", golden.take("decode_cases"), "encoded", report)
    _check_cases(
        f"{what} surface_count_cases", golden.take("surface_count_cases"), "surfaces", report
    )
    facts = {name: golden.take(name) for name in FACTS if name in golden}
    if not any("token_ids" in string for string in strings):
        return
    tokenizer = _find_tokenizer(case)
    if tokenizer is None:
        report.fail(
            f"{what} token_ids",
            f"{TOKENIZER} is in no data/tokenizers above the folder: say --tokenizers DIR",
        )
        return
    pieces = {str(i): tokenizer.id_to_piece(i) for i in range(16)}
    report.exact(f"{what} pieces_0_15", pieces, facts["pieces_0_15"])
    tokens = [tokenize(text, tokenizer) for text in texts]
    wanted = [s["token_ids"] for s in strings]
    report.exact(f"{what} token_ids", [ids.tolist() for ids, _ in tokens], wanted)
    wanted = [s["bytes_per_token"] for s in strings]
    report.exact(f"{what} bytes_per_token", [counts.tolist() for _, counts in tokens], wanted)
    if "caseops_tokenizer_luts.npz" in case:
        _check_tables(case, tokenizer, report)


def _check_cases(what: str, cases: list[dict[str, Any]], given: str, report: Report) -> None:
    read = {"encoded": decode, "surfaces": surface_bytes}[given]
    wanted = {"encoded": "decoded", "surfaces": "counts"}[given]
    got: list[Any] = []
    for case in cases:
        try:
            got.append(read(case[given]))
        except UsageError:
            got.append(None)
    report.exact(what, got, [case[wanted] for case in cases])


def _check_tables(case: Case, tokenizer: SentencePieceProcessor, report: Report) -> None:
    table, name = ByteTable.from_tokenizer(tokenizer), "caseops_tokenizer_luts.npz"
    wanted = case.entries(name)
    for entry, got in (
        ("base_bytes", table.base),
        ("has_leading_space", table.leading_space),
        ("is_boundary_token", table.boundary),
    ):
        report.exact_arrays(f"{case.label} {name} {entry}", got, wanted.take(entry))


def _find_tokenizer(case: Case) -> SentencePieceProcessor | None:
    above = [parent / "data" / "tokenizers" for parent in case.folder.parents]
    for folder in [case.tokenizers] if case.tokenizers else above:
        path = folder / TOKENIZER
        if path.is_file():
            return SentencePieceProcessor(model_file=str(path))
    return None
