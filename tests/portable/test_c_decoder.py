"""The decoder in C, a second implementation of docs/FORMAT.md, gives and refuses the same."""

import hashlib
import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import cbor2
import pytest
import torch

import artpack
from artpack.artifact.carried import pack_files, record_to_map
from artpack.artifact.describe import describe
from artpack.artifact.reader import open_artifact
from artpack.errors import ArtifactError
from artpack.portable.c_source import PARTS, c_source
from tests.artifact.forging import forge, put_together, sealed, small_artifact, take_apart
from tests.artifact.golden_cases import CASES, FOLDER
from tests.artifact.golden_content import fingerprint
from tests.artifact.test_hostile import FRONTS, LIES
from tests.portable.mutations import mutations
from tests.portable.test_bundle import portable_artifact
from tests.portable.test_reader import LONG, portable_cases

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")
CHECKED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
Fingerprints = tuple[str, str, list[int], str]
"""Name, dtype, shape, and SHA-256 of the elements."""

WITH_STREAMS = [name for name in portable_cases() if name != "nothing"]

HOSTILE = Path(__file__).with_name("hostile.c")


def compiler() -> str:
    found = shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("there is no C compiler")
    return found


def build(folder: Path, *flags: str, source: Path | None = None, by: str | None = None) -> Path:
    """Compile the decoder, or what includes it, without a warning."""
    decoder, program = folder / "decoder.c", folder / "program"
    decoder.write_text(c_source(), encoding="ascii")
    files = map(str, (program, source or decoder))
    subprocess.run([by or compiler(), *STRICT, *flags, f"-I{folder}", "-o", *files], check=True)
    return program


@pytest.fixture(scope="session")
def lister(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that lists tensors."""
    return build(tmp_path_factory.mktemp("lister"), "-O1", "-DARTPACK_MAIN")


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that loads hostile files, and ends where it does what is undefined."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [compiler(), *CHECKED, "-o", *map(str, (folder / "empty", folder / "empty.c"))]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("the C compiler has no sanitizers")
    return build(folder, *CHECKED, source=HOSTILE)


def lines_of(program: Path, artifact: Path) -> list[list[str]]:
    """Return hash, stored bytes, dtype, shape and name of each tensor."""
    done = subprocess.run([program, artifact], capture_output=True, check=True, encoding="utf-8")
    return [line.split(" ", 4) for line in done.stdout.splitlines()]


def listed(program: Path, artifact: Path) -> list[Fingerprints]:
    lines = lines_of(program, artifact)
    return [(name, dtype, json.loads(shape), digest) for digest, _, dtype, shape, name in lines]


def expected(artifact: Path) -> list[Fingerprints]:
    return [(name, *fingerprint(one)) for name, one in artpack.load(artifact).items()]


def answers(program: Path, files: list[bytes], folder: Path, *, max_memory: int = 0) -> list[str]:
    """Return what the program says of each of many files: it is there until the end."""
    path = folder / "files"
    path.write_bytes(b"".join(len(one).to_bytes(4, "little") + one for one in files))
    command = [str(program), str(path), str(max_memory)]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    found = done.stdout.splitlines()
    assert len(found) == len(files)
    return found


def outcome(artifact: bytes) -> str:
    """Say what artpack itself makes of a file, as hostile.c says it."""
    try:
        with open_artifact(artifact) as opened:
            opened.check_trailer()
            tensors = opened.load()
    except ArtifactError:
        return "refused"
    whole = b"".join(
        one.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes() for one in tensors.values()
    )
    return f"ok {hashlib.sha256(whole).hexdigest()[:8]}"


def same_outcomes(program: Path, files: list[bytes], folder: Path) -> None:
    """Check that C gives what artpack gives, or says in a line why not."""
    for file, answer in zip(files, answers(program, files, folder), strict=True):
        assert answer
        assert outcome(file) == (answer if answer.startswith("ok ") else "refused"), answer


def test_it_is_made_of_all_of_its_parts() -> None:
    folder = Path(artpack.__file__).parent / "portable" / "c"
    assert {path.stem for path in folder.iterdir()} == set(PARTS)


def test_it_is_a_header_too(tmp_path: Path) -> None:
    user = tmp_path / "user.c"
    twice = '#define ARTPACK_DECLARATIONS\n#include "decoder.c"\n#include "decoder.c"\n'
    user.write_text(twice + "void let_go(artpack_result *r) { artpack_free(r); }\n")
    assert build(tmp_path, "-c", source=user).stat().st_size < 8_000


@pytest.mark.parametrize("name", portable_cases())
def test_golden_artifacts_become_the_same_tensors(name: str, lister: Path) -> None:
    path = FOLDER / f"{name}.artpack"
    golden = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert [list(one) for one in listed(lister, path)] == golden


def test_carried_files_are_passed_over_but_not_if_damaged(checked: Path, tmp_path: Path) -> None:
    header, streams = take_apart(portable_artifact())
    packed = pack_files({"config.json": b"{}", "empty": b""})
    assert packed is not None
    header["files"] = record_to_map(packed.record)
    files = [
        put_together(cbor2.dumps(header, canonical=True), [*streams, stored])
        for stored in (packed.stored, packed.stored[:-1], bytes(len(packed.stored)))
    ]
    plain, with_files, short, other = answers(checked, [portable_artifact(), *files], tmp_path)
    assert with_files == plain
    assert plain.startswith("ok ")
    assert short == "the streams do not end where the trailer begins"
    assert other == "the carried files' checksum does not match: the file is damaged"


@pytest.mark.parametrize("name", sorted(set(CASES) - set(portable_cases())))
def test_codecs_of_libraries_are_refused_by_name(name: str, lister: Path) -> None:
    done = subprocess.run(
        [lister, FOLDER / f"{name}.artpack"], capture_output=True, check=False, text=True
    )
    codec = "lrzip" if name == "lrzip" else "zstd"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"this decoder has no codec '{codec}'\n"


def recipes() -> Iterator[tuple[str, dict[str, Any]]]:
    for recipe in ("int4", "int6", "int8", "lossless", "ternary", "quinary"):
        yield recipe, {"recipe": recipe}
    yield "frontier", {"budget": 9_000}


@pytest.mark.parametrize(("name", "options"), [pytest.param(*one, id=one[0]) for one in recipes()])
def test_recipes_become_the_same_tensors(
    name: str, options: dict[str, Any], lister: Path, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = {f"w{i}": torch.randn(64, 96, generator=draw).bfloat16() for i in range(3)}
    path = tmp_path / "artifact"
    artpack.compress(weights, portable=True, profile="fast", **options).save(path)
    assert listed(lister, path) == expected(path)


def test_bytes_are_those_of_inspect(lister: Path) -> None:
    path = FOLDER / "corrected.artpack"
    with open_artifact(path) as artifact:
        rows = describe(artifact, entropy=False).tensors
        streams = len(artifact.header.plan.streams)
    for line, row in zip(lines_of(lister, path), rows, strict=True):
        # inspect counts whole bytes: of each stream less than one more or less.
        assert abs(float(line[1]) - row.stored_bytes) < streams
    total = sum(float(line[1]) for line in lines_of(lister, path))
    assert round(total) == sum(row.stored_bytes for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [("-O0",), ("-O3", "-march=native", "-ffp-contract=fast"), ("-Os", "-fwrapv")]
)
@pytest.mark.parametrize("by", ["gcc", "clang"])
def test_no_compiler_and_no_flag_changes_a_bit(
    by: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    if shutil.which(by) is None:
        pytest.skip(f"there is no {by}")
    program = build(tmp_path, "-DARTPACK_MAIN", *flags, by=by)
    for name in portable_cases():
        path = FOLDER / f"{name}.artpack"
        assert listed(program, path) == expected(path)


def test_every_prefix_and_every_flipped_byte_is_refused(checked: Path, tmp_path: Path) -> None:
    content = portable_artifact()
    files = [content[:size] for size in range(len(content))]
    files += [
        content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
        for at in range(len(content))
    ]
    assert not any(one.startswith("ok ") for one in answers(checked, files, tmp_path))


def test_lies_have_the_outcome_that_they_have_elsewhere(checked: Path, tmp_path: Path) -> None:
    lies = (mutate for lie, (mutate, _, _) in LIES.items() if lie not in LONG)
    same_outcomes(checked, [forge(mutate, portable=True) for mutate in lies], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("lie", LONG)
def test_large_lies_have_it_too(lie: str, checked: Path, tmp_path: Path) -> None:
    same_outcomes(checked, [forge(LIES[lie][0], portable=True)], tmp_path)


def test_lies_of_the_preamble_are_refused(checked: Path, tmp_path: Path) -> None:
    files = [sealed(front, bytes(20)) for front, _, _ in FRONTS.values()]
    assert not any(one.startswith("ok ") for one in answers(checked, files, tmp_path))


def test_mutations_have_the_outcome_that_they_have_elsewhere(checked: Path, tmp_path: Path) -> None:
    small = [
        mutations(small_artifact(recipe, portable=True), 100) for recipe in ("int6", "lossless")
    ]
    golden = [
        mutations((FOLDER / f"{name}.artpack").read_bytes(), 20)
        for name in portable_cases()
        if name != "nothing"
    ]
    same_outcomes(checked, list(chain(*small, *golden)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_STREAMS)
def test_many_mutations_have_the_outcome_that_they_have_elsewhere(
    name: str, checked: Path, tmp_path: Path
) -> None:
    content = (FOLDER / f"{name}.artpack").read_bytes()
    same_outcomes(checked, mutations(content, 1500), tmp_path)


def test_memory_is_limited(checked: Path, tmp_path: Path) -> None:
    content = portable_artifact()
    enough = 20 * math.prod((40, 50)) + (1 << 18)
    assert answers(checked, [content], tmp_path, max_memory=enough)[0].startswith("ok ")
    refused = answers(checked, [content], tmp_path, max_memory=20_000)
    assert refused == ["the file needs more memory than there is or is allowed"]
