"""A decoder of the adaptive coder's streams, written from docs/FORMAT.md alone."""

from functools import cache
from itertools import accumulate
from math import isqrt

POLYNOMIALS = {
    4: (0o5, 0o2),
    8: (0o13, 0o4),
    16: (0o23, 0o4),
    32: (0o45, 0o10),
    64: (0o103, 0o24),
    128: (0o235, 0o126),
    256: (0o515, 0o362),
}
BUCKETS = 88
CLASSES = 2 * BUCKETS * 6


@cache
def t(i: int) -> int:
    """``floor(2**(i / 16))``."""
    return isqrt(isqrt(isqrt(isqrt(1 << i))))


@cache
def gaussian(b: int, g: int, p: int) -> list[int]:
    falls = [(g * (i - 128) + p) ** 2 * 47274 * 128 // (9 + 2 * (b % 4)) for i in range(256)]
    falls = [fall >> (8 + b // 4) for fall in falls]
    least = min(falls)
    parts = [t(480 - fall + least) if fall - least < 480 else 0 for fall in falls]
    return [(part << 24) // sum(parts) for part in parts]


@cache
def expectations(table: int, g: int, alphabet: int) -> list[int]:
    if table == CLASSES:
        falls = [abs(i - 128) for i in range(256)]
        parts = [t(480 - 8 * fall) if fall < 60 else 0 for fall in falls]
        return [(part << 17) // sum(parts) for part in parts]
    b, p = table // 2 % BUCKETS, table % 2
    near = [gaussian(min(max(b + d, 0), BUCKETS - 1), g, p) for d in (-4, 0, 4, 8)]
    mixed = [10 * u + 20 * v + 10 * w + x for u, v, w, x in zip(*near, strict=True)]
    lowest = 128 - alphabet // 2
    total = sum(mixed) + 1
    return [
        (x << 20) // total if lowest <= i < lowest + alphabet else 0 for i, x in enumerate(mixed)
    ]


class Table:
    def __init__(self, number: int, g: int, alphabet: int) -> None:
        self.expected = expectations(number, g, alphabet)
        self.counts, self.before, self.fresh = [0] * 256, 0, False
        self.make()

    def make(self) -> None:
        weights = [w + 8192 * c for w, c in zip(self.expected, self.counts, strict=True)]
        sums = [0, *accumulate(weights[:255])]
        unit = (4095 << 51) // (sums[255] + 128)
        self.starts = [*(s * unit >> 51 for s in sums), 4096]
        self.fresh = False

    def refine(self) -> None:
        total = sum(self.counts)
        if self.fresh and 16 * (total - self.before) >= total + 128:
            self.before = total
            self.make()


class Codes:
    """Codes, piece by piece."""

    def __init__(self, data: bytes, total: int, width: int, g: int, alphabet: int) -> None:
        count, at = 0, 0
        while True:
            count |= (data[at] & 127) << 7 * at
            at += 1
            if data[at - 1] < 128:
                break
        count, choice = divmod(count, 3)
        self.prior = (2, 5, 12)[choice]
        self.escapes = list(data[at : at + count])
        at += count
        most = min(max(total >> 13, 1), 1024)
        lanes = -(-width // -(-width // most))
        self.states = [
            int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little") for i in range(lanes)
        ]
        at += 4 * lanes
        self.words = [int.from_bytes(data[i : i + 2], "little") for i in range(at, len(data), 2)]
        self.left, self.g, self.alphabet = total, g, alphabet
        self.tables: dict[int, Table] = {}

    def read(self, numbers: list[int], mirrored: list[bool]) -> list[int]:
        """Read a piece; return 128 + k."""
        values, codes, lane = [], [], 0
        for number, mirror in zip(numbers, mirrored, strict=True):
            if lane == 0:
                while len(self.states) > 1 and self.left < 64 * len(self.states):
                    self.retire(len(self.states) // 2)
                chunk = len(self.states)
            if number not in self.tables:
                self.tables[number] = Table(number, self.g, self.alphabet)
            code = self.read_code(self.tables[number].starts, lane)
            lane = (lane + 1) % chunk
            self.left -= 1
            p = number % 2
            value = self.escapes.pop(0) if code == 255 else 256 - code - p if mirror else code
            if code == 255:
                code = min(256 - value - p if mirror else value, 255)
                starts = self.tables[number].starts
                assert code == 255 or starts[code] == starts[code + 1]
            values.append(value)
            codes.append(code)
        for number, code in zip(numbers, codes, strict=True):
            self.tables[number].counts[code] += 1
            self.tables[number].fresh = True
        return values

    def read_code(self, starts: list[int], lane: int) -> int:
        x = self.states[lane]
        z = x % 4096
        code = next(i for i in range(256) if starts[i] <= z < starts[i + 1])
        x = (starts[code + 1] - starts[code]) * (x >> 12) + z - starts[code]
        self.states[lane] = x << 16 | self.words.pop(0) if x < 65536 else x
        return code

    def retire(self, awake: int) -> None:
        assert all(65536 <= x < 131072 for x in self.states[awake:])
        self.words = [x - 65536 for x in self.states[awake:]] + self.words
        self.states = self.states[:awake]

    def refine(self) -> None:
        for table in self.tables.values():
            table.refine()


class Column:
    def __init__(self, states: int) -> None:
        self.v, self.m, self.y, self.mirrored = 65536, 0, 0, False
        self.states, self.state, self.p = states, 0, 0

    def table(self, u: int) -> int:
        v = min(self.v * t(240 + 2 * u) >> 21, (1 << 24) - 1)
        o = v.bit_length() - 1
        b = 0 if v < 4 else 4 * (o - 2) + (v >> (o - 2)) % 4
        return 2 * (BUCKETS * self.y + b) + self.p

    def lean(self, r: int) -> None:
        square, whole = self.m**2, self.v * min(r, 256) ** 2
        bounds = (12 * square >= whole, 6 * square >= whole)
        self.y = 1 + sum(bounds) + (3 * square >= whole) + (3 * square >= 2 * whole)
        if not self.m:
            self.y = 1
        self.mirrored = self.y > 1 and self.m < 0
        if r >= 256:
            self.m -= self.m >> 5

    def learn(self, k: int, u: int, r: int, prior: int) -> None:
        n = k if self.states == 1 else 2 * k + self.p
        self.m += n * t(256 - u) >> 8
        x, j = min(n * n * t(384 - 2 * u) >> 8, 1 << 28), 65536 // (min(r, 255) + prior)
        self.v = self.v * (65536 - j) + x * j >> 16
        if self.states > 1:
            h0, h1 = POLYNOMIALS[self.states]
            bits = self.states.bit_length() - 1
            inner = self.states - 2
            even = (2 * self.state % self.states + self.p) ^ self.p * (h0 & inner)
            self.state = even ^ (h1 & inner) if k % 2 else even
            self.p = self.state >> (bits - 1) & 1


def decode(
    data: bytes, shapes: list[tuple[int, int]], alphabet: int, states: int
) -> list[list[list[int]]]:
    matrices: list[list[list[int]]] = [[] for _ in shapes]
    order = sorted((m for m, (r, c) in enumerate(shapes) if r * c), key=lambda m: -shapes[m][0])
    spans = {m: max(1, 32 // shapes[m][1]) for m in order}
    counts = {m: -(-shapes[m][0] // spans[m]) for m in order}
    total = sum(counts.values()) + sum(shapes[m][0] * shapes[m][1] for m in order)
    width = sum(shapes[m][1] for m in order)
    codes = Codes(data, total, width, 1 if states == 1 else 2, alphabet)
    classes = read_classes(codes, [(shapes[m][1], counts[m]) for m in order])
    columns = {m: [Column(states) for _ in range(shapes[m][1])] for m in order}
    seen, limit = 0, 256
    for r in range(shapes[order[0]][0]):
        wide: list[tuple[int, int, Column]] = []
        for m, found in zip(order, classes, strict=True):
            if r < shapes[m][0]:
                matrices[m].append([])
                for column in columns[m]:
                    if r and r % 8 == 0:
                        column.lean(r)
                    wide.append((m, found[r // spans[m]], column))
        while wide:
            piece, wide = wide[: limit - seen], wide[limit - seen :]
            numbers = [column.table(u) for _, u, column in piece]
            values = codes.read(numbers, [column.mirrored for _, _, column in piece])
            for value, (m, u, column) in zip(values, piece, strict=True):
                matrices[m][r].append(value - 128 + alphabet // 2)
                column.learn(value - 128, u, r, codes.prior)
            seen += len(piece)
            if seen == limit:
                codes.refine()
                limit += max(256, seen >> 3)
    codes.retire(0)
    assert not any(codes.words)
    assert not codes.escapes
    return [found or [[] for _ in range(r)] for found, (r, _) in zip(matrices, shapes, strict=True)]


def read_classes(codes: Codes, sizes: list[tuple[int, int]]) -> list[list[int]]:
    """Return the u of the classes of each matrix."""
    values: list[int] = []
    total = sum(count for _, count in sizes)
    limit = 256
    while len(values) < total:
        size = min(limit, total) - len(values)
        values += codes.read([CLASSES] * size, [False] * size)
        if len(values) == limit:
            codes.refine()
            limit += max(256, limit >> 3)
    found = []
    for cols, count in sizes:
        own, values, h, us = values[:count], values[count:], 0, []
        e = 3 if cols <= 100 else 2 if cols <= 400 else 1 if cols <= 1600 else 0
        for i, value in enumerate(own):
            q = value - 128 + (h + 8 >> 4)
            h = 16 * q if i == 0 else h + (16 * q - h >> 3)
            us.append(q << e)
        found.append(us)
    return found
