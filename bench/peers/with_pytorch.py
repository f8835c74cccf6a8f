# SPDX-License-Identifier: Apache-2.0
"""PyTorch: scaled_dot_product_attention with grouped heads and with heads folded into queries, and two matmuls."""
from inputs import Cache, queries

MOST_FOLDED = 64  # queries whose mask and scores are still small
MOST_SPREAD = 3 << 30  # bytes


def variants(row, threads):
    import numpy as np
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    dtype = torch.float32 if row.kv_type == "f32" else torch.bfloat16
    group = row.heads // row.kv_heads

    def heads_first(x):  # [tokens][heads][d] -> [1][heads][tokens][d]
        return torch.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2))).to(dtype)[None]

    cache, batch = Cache(row), []
    for i, q in enumerate(queries(row)):
        k, v = map(lambda x: None if x is None else heads_first(x), cache.request(i))
        batch.append((heads_first(q), k, k[..., :row.dim_v] if v is None else v))
    if row.alike and row.requests > 1:
        batch = [tuple(torch.cat(x) for x in zip(*batch))]

    def shown(nq, n, first_key=0, first_query=None):
        """Which keys queries see; None: all of them."""
        first_query = n - nq if first_query is None else first_query
        p, t = torch.arange(first_query, first_query + nq)[:, None], torch.arange(first_key, first_key + n)[None]
        seen = t <= p
        if row.window:
            seen &= t > p - row.window
        return None if bool(seen.all()) else seen

    masks = [shown(q.shape[2], k.shape[2]) for q, k, _ in batch]
    plain_causal = [m is not None and q.shape[2] == k.shape[2] and not row.window for m, (q, k, _) in zip(masks, batch)]

    def fold(q):
        return q.reshape(q.shape[0], row.kv_heads, group * q.shape[2], row.d_k)

    def folded(mask):
        return None if mask is None else mask.repeat(group, 1)

    def unfold(o, nq):
        return o.reshape(o.shape[0], row.heads, nq, row.dim_v)

    def gqa():
        return [F.scaled_dot_product_attention(q, k, v, attn_mask=None if causal else mask, is_causal=causal, scale=row.scale,
                                               enable_gqa=True) for (q, k, v), mask, causal in zip(batch, masks, plain_causal)]

    def sdpa_fold():
        return [unfold(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=row.scale), nq)
                for (q, k, v), mask, nq in folded_batch]

    def matmuls():
        out = []
        for (q, k, v), mask, nq in folded_batch:
            s = torch.matmul(q, k.transpose(-1, -2)).float() * row.scale
            if mask is not None:
                s.masked_fill_(~mask, float("-inf"))
            out.append(unfold(torch.matmul(torch.softmax(s, -1).to(dtype), v), nq))
        return out

    def blocks():
        """A window needs only the keys near the queries: blocks of them."""
        (q, k, v), size = batch[0], row.window
        parts = []
        for at in range(0, q.shape[2], size):
            end, begin = min(at + size, q.shape[2]), max(0, at - size + 1)
            parts.append(F.scaled_dot_product_attention(q[:, :, at:end], k[:, :, begin:end], v[:, :, begin:end],
                                                        attn_mask=shown(end - at, end - begin, begin, at), scale=row.scale,
                                                        enable_gqa=True))
        return [torch.cat(parts, 2)]

    def result(outs):
        return np.concatenate([o.float().transpose(1, 2).reshape(-1, row.heads, row.dim_v).numpy() for o in outs])

    few = max(q.shape[2] for q, _, _ in batch) <= MOST_FOLDED
    folded_batch = [((fold(q), k, v), folded(m), q.shape[2]) for (q, k, v), m in zip(batch, masks)] if few else []
    # It makes copies of K and V for every head.
    spread = sum(row.heads * k.shape[0] * k.shape[2] * (row.d_k + row.dim_v) * 2 for _, k, _ in batch)
    named = {"sdpa gqa": gqa} if spread <= MOST_SPREAD else {}
    if few:
        named |= {"sdpa folded": sdpa_fold, "two matmuls": matmuls}
    if row.window and row.requests == 1 and not few:
        named["sdpa in blocks"] = blocks
    return {name.replace(" ", "-"): (lambda f=f: (f, result)) for name, f in named.items()}
