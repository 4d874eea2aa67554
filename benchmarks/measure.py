"""
What it takes to code a group of symbols: bytes, seconds of processor time, memory.

Encoding and decoding each get a process of their own, forked from one that has
done the imports. What was decoded is compared before anything is reported.
"""

import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from artpack.coding.groups import StreamGroup
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import Profile
from artpack.coding.search import choose
from artpack.stages.symbols import Symbols
from benchmarks.memory import peak_growth_mib, sample, status_mib

T = TypeVar("T")

ENOUGH_S = 0.5
"""Once it took so long, work is not done again."""


@dataclass(frozen=True)
class Stream:
    """Some parts of a group, coded."""

    pipeline: Pipeline
    coded: Coded
    shapes: tuple[tuple[int, int], ...]
    alphabet: int


Encoder = Callable[[StreamGroup], list[Stream]]


@dataclass(frozen=True)
class Cost:
    """
    What an encoder made of a group.

    Attributes:
        streams: How many streams.
        bytes: Their bytes together.
        encode_s: Processor time, the least of several runs.
        decode_s: The same for decoding.
        encode_mib: By how much memory grew at most.
        decode_mib: The same for decoding.
    """

    streams: int
    bytes: int
    encode_s: float
    decode_s: float
    encode_mib: float
    decode_mib: float

    def __add__(self, other: Self) -> Self:
        """Return the cost of doing both, one after the other."""
        return replace(
            self,
            streams=self.streams + other.streams,
            bytes=self.bytes + other.bytes,
            encode_s=self.encode_s + other.encode_s,
            decode_s=self.decode_s + other.decode_s,
            encode_mib=max(self.encode_mib, other.encode_mib),
            decode_mib=max(self.decode_mib, other.decode_mib),
        )


def encode_as(pipeline: Pipeline, group: StreamGroup) -> list[Stream]:
    """Code a group as one stream."""
    return [
        _stream(
            group,
            pipeline,
            pipeline.encode(group.parts, alphabet=group.alphabet),
        )
    ]


def encode_by_search(profile: Profile, group: StreamGroup) -> list[Stream]:
    """Code a group as ``artpack compress --jobs 1`` does."""
    chosen = choose(group, profile)
    return [_stream(part, one.pipeline, one.coded) for part, one in chosen]


def decode(streams: list[Stream]) -> list[Symbols]:
    """Return the parts of the whole group."""
    return [
        part
        for s in streams
        for part in s.pipeline.decode(s.coded, shapes=s.shapes, alphabet=s.alphabet)
    ]


def measure(encoder: Encoder, group: StreamGroup, *, runs: int) -> Cost:
    """Code a group, decode it and compare; each at most so many times."""
    streams, encode_s, encode_mib = _in_fresh_process(partial(encoder, group), runs)
    parts, decode_s, decode_mib = _in_fresh_process(partial(decode, streams), runs)
    assert len(parts) == len(group.parts)
    assert all(map(np.array_equal, parts, group.parts)), "decoded to other symbols"
    stored = sum(len(stream.coded.stored) for stream in streams)
    return Cost(len(streams), stored, encode_s, decode_s, encode_mib, decode_mib)


def _stream(group: StreamGroup, pipeline: Pipeline, coded: Coded) -> Stream:
    shapes = tuple((part.shape[0], part.shape[1]) for part in group.parts)
    return Stream(pipeline, coded, shapes, group.alphabet)


def _in_fresh_process(work: Callable[[], T], runs: int) -> tuple[T, float, float]:
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, mp_context=context) as fresh:
        return fresh.submit(_run, work, runs).result()


def _run(work: Callable[[], T], runs: int) -> tuple[T, float, float]:
    """Do the work a few times; return its result, the best time and the peak of memory."""
    start = _processor_s()
    (result, own_mib), program_mib = sample(partial(peak_growth_mib, work), _program_mib)
    seconds = [_processor_s() - start]
    while len(seconds) < runs and sum(seconds) < ENOUGH_S:
        start = _processor_s()
        work()
        seconds.append(_processor_s() - start)
    # A peak never falls: the last one seen of a program, before it ended, is the highest.
    return result, min(seconds), own_mib + next((s for s in reversed(program_mib) if s), 0.0)


def _processor_s() -> float:
    """Return the processor time of this thread, and of the programs that were run."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + programs.ru_utime + programs.ru_stime


def _program_mib() -> float:
    """Return the peak so far of the program that this process has started, 0 if there is none."""
    pid = os.getpid()
    programs = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(status_mib("VmHWM", program) for program in programs)
