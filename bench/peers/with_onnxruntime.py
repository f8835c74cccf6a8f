# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the operator GroupQueryAttention of com.microsoft, its cache shared between input and output."""
from inputs import Cache, queries



def variants(row, threads):
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper
    if row.isa or row.d_k != row.dim_v or not row.alike or row.v_in_k:
        raise NotImplementedError("GroupQueryAttention has no such shape")
    n, nq, batch = row.context(0), row.asking(0), row.requests
    q = np.stack([x.reshape(nq, -1) for x in queries(row)])
    cache = Cache(row)
    k, v = (np.stack(x) for x in zip(*(cache.request(i) for i in range(batch))))  # [batch][n][kv][d]
    past = n - nq

    def session(kind):
        names = ["q", "k", "v", "pk", "pv", "sl", "tl"]
        window = {"local_window_size": row.window} if row.window else {}
        node = helper.make_node("GroupQueryAttention", names, ["o", "prk", "prv"], domain="com.microsoft",
                                num_heads=row.heads, kv_num_heads=row.kv_heads, scale=row.scale, **window)

        def info(name, type_, shape):
            return helper.make_tensor_value_info(name, type_, shape)
        kv = [batch, row.kv_heads, n, row.d_k]
        graph = helper.make_graph([node], "g", [
            info("q", kind, [batch, nq, row.heads * row.d_k]), info("k", kind, [batch, nq, row.kv_heads * row.d_k]),
            info("v", kind, [batch, nq, row.kv_heads * row.d_k]), info("pk", kind, kv), info("pv", kind, kv),
            info("sl", TensorProto.INT32, [batch]), info("tl", TensorProto.INT32, [])],
            [info("o", kind, [batch, nq, row.heads * row.d_k]), info("prk", kind, kv), info("prv", kind, kv)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
        model.ir_version = 9
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def make(kind, dtype):
        s = session(kind)
        io = s.io_binding()
        held = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1, 3), dtype)) for x in (k, v)]
        feeds = {"q": q.astype(dtype), "k": k[:, past:].reshape(batch, nq, -1).astype(dtype),
                 "v": v[:, past:].reshape(batch, nq, -1).astype(dtype), "sl": np.full(batch, n - 1, np.int32),
                 "tl": np.array(n, np.int32)}
        for name, value in feeds.items():
            io.bind_cpu_input(name, value)
        for name, value in zip(("pk", "pv"), held):
            io.bind_ortvalue_input(name, value)
        io.bind_output("o")
        for name, value in zip(("prk", "prv"), held):
            io.bind_ortvalue_output(name, value)

        def result(_):
            return io.get_outputs()[0].numpy().astype(np.float32).reshape(-1, row.heads, row.d_k)
        return (lambda: s.run_with_iobinding(io)), result

    return {"f32": lambda: make(TensorProto.FLOAT, np.float32), "f16": lambda: make(TensorProto.FLOAT16, np.float16)}
