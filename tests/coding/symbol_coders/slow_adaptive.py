"""A decoder of the adaptive coder's streams, written from docs/FORMAT.md alone."""

from collections.abc import Callable, Sequence
from math import isqrt

from artpack.stages.trellis import trellis

Coded = Callable[[int], int]


def _e(i: int) -> int:
    power = 1 << (30 * 256 - i)
    for _ in range(8):
        power = isqrt(power)
    return power


E = [_e(i) for i in range(256)]
G = [((256 + i) ** 256).bit_length() - 1 - 2048 for i in range(256)]


def L(v: int) -> int:  # noqa: N802
    o = 8
    if v < 256:
        v, o = 256 * v, 0
    while v >= 512:
        v, o = v >> 1, o + 1
    return 256 * o + G[v - 256]


def D(v: int, log: int) -> int:  # noqa: N802
    log = min(max(log, -3072), 3072)
    w, s = v * (E[log % 256] >> 14), log >> 8
    return w >> s if s >= 0 else min(w << -s, 1 << 40)


class Bits:
    """The arithmetic decoder with its slots."""

    def __init__(self, data: bytes, g: int) -> None:
        self.data, self.at, self.g = data, 0, g
        self.low, self.high = 0, (1 << 32) - 1
        self.slots: dict[tuple[int, int, int, int], tuple[int, int]] = {}

    def read(self, context: int, bucket: int, p: int, node: int) -> int:
        key = (context, bucket, p, node)
        c, z = self.slots.get(key) or (self.first(bucket, p, node), 8)
        f, w = min(max(c >> 6, 8), 65528), (1 << 17) // (2 * z + 3)
        middle = self.low + ((self.high - self.low) * f >> 16)
        window = self.data[self.at : self.at + 4].ljust(4, b"\0")
        bit = int(int.from_bytes(window, "big") <= middle)
        if bit:
            self.high, c = middle, c + (((1 << 22) - c) * w >> 16)
        else:
            self.low, c = middle + 1, c - (c * w >> 16)
        self.slots[key] = c, min(z + 1, 1023)
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & 0xFFFFFFFF, (self.high << 8 & 0xFFFFFFFF) + 255
            self.at += 1
        return bit

    def shift(self, bucket: int) -> int:
        return min(max((bucket // 4 - 8 - 2 * (self.g - 1) - 3) // 2, 0), 4)

    def first(self, bucket: int, p: int, node: int) -> int:
        beta, h = bucket - 32, self.shift(bucket)
        factor = 47274 * (E[64 * beta % 256] >> 14)

        def total(start: int, stop: int) -> int:
            points = (self.g * v + (p or self.g) for v in range(start, stop))
            xs = [point * point * factor >> (24 + (beta >> 2)) for point in points]
            return sum(max(1, E[x % 256] >> min(x >> 8, 30)) for x in xs)

        a, b = 1, 2
        if node == 0 and p == 0:
            a, b = 1 << 30, (1 << 30) + 2 * total(0, 512)
        elif 2 <= node < 34:
            i = node - 2
            a, b = total((i + 1) << h, 512), total(i << h, 512)
        elif node >= 34:
            u, j = divmod(node - 34, 16)
            s = j.bit_length() - 1
            width = 1 << (h - s)
            start = (u << h) + (j - (1 << s)) * width
            a, b = total(start + width // 2, start + width), total(start, start + width)
        return min(max((a << 22) // b, 4096), (1 << 22) - 4096)

    def k(self, alphabet: int, context: int, down: int, bucket: int, p: int) -> int:
        zero, h = alphabet // 2, self.shift(bucket)
        if p == 0 and self.read(context, bucket, p, 0):
            return 0
        negative = 1
        if alphabet > 2 or p == 1:
            negative = self.read(context, bucket, p, 1) ^ down
        if context >= 3 and negative != down:
            context += 4
        largest = zero - 1 if negative else alphabet - 2 - zero + p
        u = 0
        while u < largest >> h and self.read(context, bucket, p, 2 + min(u, 31)):
            u += 1
        j = 1
        for _ in range(h):
            j = 2 * j + self.read(context, bucket, p, 34 + 16 * min(u, 7) + j)
        v = (u << h) + j - (1 << h)
        return -1 - v if negative else v + 1 - p


def decode(
    data: bytes, shapes: Sequence[tuple[int, int]], alphabet: int, states: int
) -> list[list[list[int]]]:
    """Return the matrices of a sound stream."""
    bits = Bits(data, 1 if states == 1 else 2)
    known = {"energy": 65536, "count": 1, "seen": 0, "log": 0, "variance": 0, "prior": 10}
    return [_matrix(bits, known, shape, alphabet, states) for shape in shapes]


def _matrix(
    bits: Bits, known: dict[str, int], shape: tuple[int, int], alphabet: int, states: int
) -> list[list[int]]:
    rows, cols = shape
    table, state = trellis(states).tolist(), [0] * cols
    energies, sums = [0] * cols, [0] * cols
    result: list[list[int]] = []
    for r in range(rows if cols else 0):
        m = max(known["energy"] // known["count"], 1)
        prior = 10 if cols < 32 else known["prior"]
        a, e, t = known["log"], max(D(prior, -known["log"]), 1), 0
        x = e
        result.append([])
        for c in range(cols):
            p = table[state[c]][0]
            b = L(energies[c] + m) - L(r + 1) - 4096
            bucket = min(max((b + a + 32 >> 6) + 32, 0), 99)
            context, down = (0 if r < 8 else 1 if r < 48 else 2), 0
            if sums[c]:
                q = 2 * (L(abs(sums[c])) - L(r + 1)) - b
                if q >= -1408:
                    context, down = 2 + min((q + 1408 >> 9) + 1, 4), int(sums[c] < 0)
            k = bits.k(alphabet, context, down, bucket, p)
            result[-1].append(k + alphabet // 2)
            n = bits.g * k + p
            sums[c] += n
            x = min(x + D(n * n, b), 1 << 60)
            a = L(x) - L(prior + c + 1) - 4096
            y = D(n * n, a)
            energies[c], t = min(energies[c] + y, 1 << 60), min(t + y, 1 << 60)
            state[c] = table[state[c]][1 + (k & 1)]
        _end_row(known, x - e, t, a, cols)
    return result


def _end_row(known: dict[str, int], energy: int, t: int, a: int, cols: int) -> None:
    if cols < 32:
        known["log"] += (a - known["log"]) >> 2
    else:
        log = L(energy + 1) - L(cols) - 4096
        if not known["seen"]:
            known["log"] = log
        d = log - known["log"]
        known["seen"] = min(known["seen"] + 1, 32)
        known["log"] += d >> 3
        known["variance"] += (d * d - known["variance"]) // known["seen"]
        excess = max(known["variance"] - 272652 // cols, 1)
        known["prior"] = min(max(272652 // excess, 1), 4096)
    known["energy"] += t
    known["count"] += cols
    while known["count"] > 1 << 18:
        known["energy"] >>= 1
        known["count"] >>= 1
