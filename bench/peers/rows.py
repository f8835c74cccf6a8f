# SPDX-License-Identifier: Apache-2.0
"""The works that are measured, as `mqa bench attention` understands them."""
import dataclasses

K = 1024


@dataclasses.dataclass(frozen=True)
class Row:
    """One work. Requests take the contexts in turn and begin with the same `shared` tokens; the last `queries` of each ask,
    0: all of them. Causal. window: keys that a query sees, itself included; 0: all."""
    id: str
    title: str
    heads: int = 32
    kv_heads: int = 1
    d_k: int = 128
    d_v: int = 0  # 0: as d_k
    v_in_k: bool = False
    contexts: tuple = (16 * K,)
    requests: int = 1
    shared: int = 0
    queries: int = 1
    window: int = 0
    kv_type: str = "bf16"  # ours; peers take what suits them
    isa: str = ""  # "avx2": we and the peers that can be held to it
    numerics: str = "fast"

    @property
    def dim_v(self):
        return self.d_v or self.d_k

    @property
    def scale(self):
        return self.d_k ** -0.5

    def context(self, request):
        return self.contexts[request % len(self.contexts)]

    def asking(self, request):
        return self.queries or self.context(request)

    @property
    def alike(self):
        """All requests have one context."""
        return len(set(self.contexts)) == 1

    def options(self):
        """The command line of `mqa bench attention`."""
        given = [("heads", self.heads), ("kv-heads", self.kv_heads), ("head-dim", self.d_k), ("head-dim-v", self.dim_v),
                 ("context", ",".join(map(str, self.contexts))), ("requests", self.requests), ("shared", self.shared),
                 ("kv-type", self.kv_type), ("numerics", self.numerics)]
        given += [("queries", self.queries)] if self.queries else []
        given += [("window", self.window)] if self.window else []
        words = [f"--{name}={value}" for name, value in given]
        return words + ([] if self.queries else ["--prefill"]) + (["--v-in-k"] if self.v_in_k else [])

    def quick(self):
        """The same in small: a sixteenth of the tokens, in whole 64, which some peers' masks take."""
        def less(n):
            return (n // 16 + 63) // 64 * 64
        return dataclasses.replace(self, contexts=tuple(map(less, self.contexts)), shared=less(self.shared),
                                   window=less(self.window), requests=min(self.requests, 8))


TABLE = (
    Row("decode-16k", "decode 32:1 d 128, 16k"),
    Row("decode-64k", "decode 32:1 d 128, 64k", contexts=(64 * K,)),
    Row("decode-64k-int8", "the same, int8 cache", contexts=(64 * K,), kv_type="int8"),
    Row("decode-4-256-32k", "decode 4:1 d 256, 32k", heads=4, d_k=256, contexts=(32 * K,)),
    Row("decode-4-256-32k-int8", "the same, int8 cache", heads=4, d_k=256, contexts=(32 * K,), kv_type="int8"),
    Row("decode-71-64-32k", "decode 71:1 d 64, 32k", heads=71, d_k=64, contexts=(32 * K,)),
    Row("mla-16k", "decode MLA 128:1, d 576, V its first 512, 16k", heads=128, d_k=576, d_v=512, v_in_k=True),
    Row("decode-32-8-32k", "decode 32:8 d 128, 32k", kv_heads=8, contexts=(32 * K,)),
    Row("decode-32-32-8k", "decode 32:32 d 128, 8k", kv_heads=32, contexts=(8 * K,)),
    Row("chunk-8-16k", "8 query tokens, 32:1 d 128, 16k", queries=8),
    Row("prefill-4k", "prefill 32:1 d 128, 4k, causal", contexts=(4 * K,), queries=0),
    Row("prefill-window-16k", "prefill 4:1 d 256, 16k, window 512", heads=4, d_k=256, queries=0, window=512),
    Row("shared-64", "64 requests, 8:1 d 128, 16k shared + 256 own each", heads=8, contexts=(16 * K + 256,), requests=64,
        shared=16 * K),
    Row("ragged-8", "8 requests of 1, 2, 4, 8, 12, 16, 32, 64k, 32:1 d 128",
        contexts=tuple(K * n for n in (1, 2, 4, 8, 12, 16, 32, 64)), requests=8),
    Row("small-512", "a small step: decode 4:1 d 256, 512 tokens", heads=4, d_k=256, contexts=(512,)),
    Row("avx2-16k", "AVX2 alone: decode 32:1 d 128, 16k", isa="avx2"),
    Row("avx2-16k-f32", "AVX2 alone, f32 cache", isa="avx2", kv_type="f32"),
    Row("portable-16k", "portable numerics: decode 32:1 d 128, 16k", numerics="portable"),
    Row("portable-16k-f32", "portable numerics, f32 cache", numerics="portable", kv_type="f32"),
    Row("portable-64k-int8", "portable numerics, int8 cache, 64k", numerics="portable", kv_type="int8", contexts=(64 * K,)),
)

# Time against context, one line a system.
SERIES = tuple(Row(f"series-{n}", f"decode 32:1 d 128, {n} tokens", contexts=(n,)) for n in (512 << i for i in range(12)))
