# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: scaled_dot_product_attention, heads folded into queries or K and V broadcast over the heads."""
from inputs import Cache, queries

MOST_SPREAD = 3 << 30  # bytes of K and V copied for every head


def variants(row, threads):
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op
    if row.isa or not row.alike or row.window or row.v_in_k:
        raise NotImplementedError("not tried with such a shape")
    n, nq, batch, group = row.context(0), row.asking(0), row.requests, row.heads // row.kv_heads
    if nq not in (1, n):
        raise NotImplementedError("causal is for square shapes, or one query")
    cache = Cache(row)
    k, v = (np.stack(x).transpose(0, 2, 1, 3) for x in zip(*(cache.request(i) for i in range(batch))))
    q = np.stack([x.transpose(1, 0, 2) for x in queries(row)])  # [batch][heads][nq][d]

    def make(fold, precision):
        shape = [batch, row.kv_heads, group, row.d_k] if fold else [batch, row.heads, nq, row.d_k]
        ins = [op.parameter(x, np.float32) for x in (shape, k.shape, v.shape)]
        kk, vv = ins[1], ins[2]
        if not fold and group > 1:
            def spread(x, d):
                wide = op.broadcast(op.unsqueeze(x, op.constant(np.array([2], np.int64))),
                                    op.constant(np.array([batch, row.kv_heads, group, n, d], np.int64)))
                return op.reshape(wide, op.constant(np.array([batch, row.heads, n, d], np.int64)), False)
            kk, vv = spread(kk, row.d_k), spread(vv, row.dim_v)
        out = op.scaled_dot_product_attention(ins[0], kk, vv, causal=nq > 1)
        compiled = ov.Core().compile_model(ov.Model([out], ins), "CPU", {
            "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        for i, x in enumerate((q.reshape(shape), k, v)):
            request.set_input_tensor(i, ov.Tensor(np.ascontiguousarray(x, np.float32)))

        def result(_):
            o = request.get_output_tensor(0).data.astype(np.float32)
            return o.reshape(batch, row.heads, nq, row.dim_v).transpose(0, 2, 1, 3).reshape(-1, row.heads, row.dim_v)
        return request.infer, result

    precisions = ("f32",) if row.kv_type == "f32" else ("bf16", "f32")
    spread = batch * row.heads * n * (row.d_k + row.dim_v) * 4
    found = {f"{p}-broadcast": (lambda p=p: make(False, p)) for p in precisions if spread <= MOST_SPREAD}
    if nq == 1:
        found |= {f"{p}-folded": (lambda p=p: make(True, p)) for p in precisions}
    return found
