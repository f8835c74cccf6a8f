# SPDX-License-Identifier: Apache-2.0
"""The inputs of a row: the streams that src/cli/bench_attention.h describes, so that nothing needs to be sent around."""
import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)  # splitmix64


def stream(number, first, n):
    """Values first .. first + n - 1 of a stream, evenly from [-1, 1)."""
    out = np.empty(n, np.float32)
    for at in range(0, n, 1 << 20):
        part = out[at:at + (1 << 20)]
        z = np.arange(first + at + 1, first + at + 1 + part.size, dtype=np.uint64)
        z *= STEP
        z += np.uint64((number << 40) & (2 ** 64 - 1))
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        part[:] = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1)
    return out


def queries(row):
    """q of each request: [tokens][heads][d_k]."""
    first, out = 0, []
    for i in range(row.requests):
        n = row.asking(i) * row.heads * row.d_k
        out.append(stream(0, first, n).reshape(-1, row.heads, row.d_k))
        first += n
    return out


class Cache:
    """K and V of each request: [tokens][kv_heads][d]. v is None where V is the first d_v of K."""

    def __init__(self, row):
        self.row = row
        self.prefix = self._tokens(row.requests, 0, row.shared)

    def _tokens(self, sequence, begin, end):
        row, made = self.row, []
        for kind, d in ((1, row.d_k), (2, row.dim_v)):
            width = row.kv_heads * d
            made.append(None if kind == 2 and row.v_in_k else
                        stream(2 * sequence + kind, begin * width, (end - begin) * width).reshape(-1, row.kv_heads, d))
        return made

    def request(self, i):
        own = self._tokens(i, self.row.shared, self.row.context(i))
        return [None if a is None else np.concatenate([a, b]) if len(a) else b for a, b in zip(self.prefix, own)]

    def own(self, i):
        """Without the shared tokens, which are .prefix."""
        return self._tokens(i, self.row.shared, self.row.context(i))


def exact(row, rows_wanted=6):
    """Results of a few rows in float64: a list of (token of all, head, values)."""
    rng, found, cache, q, first = np.random.default_rng(1), [], Cache(row), queries(row), 0
    picks = sorted(set(rng.integers(0, row.requests, rows_wanted)))
    for i in range(row.requests):
        if i in picks:
            k, v = cache.request(i)
            for _ in range(max(1, rows_wanted // len(picks))):
                token, head = int(rng.integers(row.asking(i))), int(rng.integers(row.heads))
                kv_head = head // (row.heads // row.kv_heads)
                end = row.context(i) - row.asking(i) + token + 1
                begin = max(0, end - row.window) if row.window else 0
                keys = k[begin:end, kv_head].astype(np.float64)
                values = keys[:, :row.dim_v] if v is None else v[begin:end, kv_head].astype(np.float64)
                s = keys @ q[i][token, head].astype(np.float64) * row.scale
                p = np.exp(s - s.max())
                found.append((first + token, head, p @ values / p.sum()))
        first += row.asking(i)
    return found
