# SPDX-License-Identifier: Apache-2.0
"""What scripts/crosscheck and scripts/precision call: libmqa and ggml through ctypes, and shapes for PyTorch."""
import ctypes as c
import glob
import os
import sys

import numpy as np
import torch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = os.path.join(ROOT, "build", "release", "libmqa.so")
KV_F32, KV_BF16, KV_INT8, KV_F16, KV_FP8_E4M3, KV_FP8_E5M2, KV_INT4 = range(7)


def struct(name, *fields):
    """A struct whose first field is its own size."""
    made = type(name, (c.Structure,), {"_fields_": [("struct_size", c.c_size_t)] + list(fields)})
    return made


ContextOptions = struct("ContextOptions", ("isa", c.c_int), ("numerics", c.c_int), ("n_threads", c.c_int),
                        ("allocator", c.c_void_p), ("log", c.c_void_p), ("parallel_for", c.c_void_p))
CacheConfig = struct("CacheConfig", ("n_layers", c.c_int), ("n_kv_heads", c.c_int), ("head_dim_qk", c.c_int),
                     ("head_dim_vo", c.c_int), ("k_type", c.c_int), ("v_type", c.c_int), ("v_in_k", c.c_bool),
                     ("k_hadamard", c.c_bool), ("v_hadamard", c.c_bool), ("window", c.c_int64),
                     ("n_sink_tokens", c.c_int64), ("max_pages", c.c_int64), ("budget_bytes", c.c_size_t), ("rope", c.c_void_p),
                     ("page_tokens", c.c_int))
PlanOptions = struct("PlanOptions", ("n_heads", c.c_int), ("sm_scale", c.c_float), ("mask", c.c_int),
                     ("window_left", c.c_int64), ("n_sink_tokens", c.c_int64), ("chunk", c.c_int64),
                     ("logit_softcap", c.c_float), ("rope", c.c_void_p))
Run = struct("Run", ("layer", c.c_int), ("q", c.c_void_p), ("q_stride_token", c.c_size_t),
             ("q_stride_head", c.c_size_t), ("out", c.c_void_p), ("out_stride_token", c.c_size_t),
             ("out_stride_head", c.c_size_t), ("lse", c.c_void_p), ("sinks", c.c_void_p),
             ("alibi_slopes", c.c_void_p), ("states", c.c_void_p))


class Item(c.Structure):
    _fields_ = [("sequence", c.c_void_p), ("n_queries", c.c_int64), ("q_ahead", c.c_int64), ("prefix", c.c_int64),
                ("documents", c.c_void_p), ("n_documents", c.c_int64), ("bits", c.c_void_p),
                ("bits_stride", c.c_size_t), ("bits_first", c.c_int64), ("reserved", c.c_int64 * 4)]


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("message", c.c_char * 512)]


class Mqa:
    """The library; attend() is one call on arrays of one sequence."""

    def __init__(self, path=LIBRARY, portable=False):
        self.lib = c.CDLL(path)
        self.lib.mqa_plan_recipe.restype = c.c_char_p
        self.err = Error()
        self.recipe = None  # of the last call
        self.ctx = c.c_void_p()
        options = self.default(ContextOptions, "mqa_context_options")
        options.numerics = int(portable)
        self.call("mqa_context_create", c.byref(options), c.byref(self.ctx))

    def call(self, name, *arguments):
        if getattr(self.lib, name)(*arguments, c.byref(self.err)) != 0:
            sys.exit(f"{name}: {self.err.message.decode()}")

    def default(self, kind, name):
        made = kind()
        getattr(self.lib, name + "_init")(c.byref(made), c.c_size_t(c.sizeof(made)))
        return made

    def attend(self, q, k, v, scale, kv_type=KV_F32, v_type=None, hadamard=False, item=None, run=None, **options):
        """q [n_q][heads][d], k and v [n][kv_heads][d] (v None: in k, the first options["d_v"]); item, run: more fields.
        v_type: V's, if it isn't kv_type. hadamard: K and V are stored transformed.
        Returns out [n_q][heads][d_v], lse [n_q][heads]."""
        def pointer(array):
            return array.ctypes.data_as(c.c_void_p)
        q, k = (np.ascontiguousarray(x, np.float32) for x in (q, k))
        d, d_v = k.shape[2], options.pop("d_v", None) or v.shape[2]
        config = CacheConfig(c.sizeof(CacheConfig), 1, k.shape[1], d, d_v, kv_type,
                             kv_type if v_type is None else v_type, v is None, hadamard,
                             hadamard, 0, 0, len(k) // 64 + 1, 0, None, 0)
        cache, sequence, plan = c.c_void_p(), c.c_void_p(), c.c_void_p()
        self.call("mqa_cache_create", self.ctx, c.byref(config), c.byref(cache))
        self.call("mqa_sequence_create", cache, c.byref(sequence))
        self.call("mqa_sequence_extend", sequence, c.c_int64(len(k)))
        v = None if v is None else np.ascontiguousarray(v, np.float32)
        size = c.c_size_t
        self.call("mqa_sequence_write", sequence, 0, c.c_int64(0), c.c_int64(len(k)), pointer(k), size(k.shape[1] * d),
                  size(d), None if v is None else pointer(v), size(k.shape[1] * d_v), size(d_v))
        plan_options = self.default(PlanOptions, "mqa_plan_options")
        plan_options.n_heads, plan_options.sm_scale = q.shape[1], scale
        for name, value in options.items():
            setattr(plan_options, name, value)
        self.call("mqa_plan_create", cache, c.byref(plan_options), c.byref(plan))
        self.recipe = self.lib.mqa_plan_recipe(plan).decode()
        held = {name: np.ascontiguousarray(x, np.float32) for name, x in (run or {}).items()}
        asked = Item(sequence=sequence, n_queries=len(q))
        for name, value in (item or {}).items():
            if isinstance(value, np.ndarray):
                held[name], value = value, pointer(value)
            setattr(asked, name, value)
        self.call("mqa_plan_batch", plan, c.byref(asked), 1)
        out, lse = np.empty((len(q), q.shape[1], d_v), np.float32), np.empty(q.shape[:2], np.float32)
        how = Run(c.sizeof(Run), 0, pointer(q), q.shape[1] * d, d, pointer(out), q.shape[1] * d_v, d_v, pointer(lse))
        for name in run or {}:
            setattr(how, name, pointer(held[name]))
        self.call("mqa_plan_run", plan, c.byref(how))
        for name, handle in (("plan", plan), ("sequence", sequence), ("cache", cache)):
            getattr(self.lib, f"mqa_{name}_destroy")(c.byref(handle))
        return out, lse


def heads_first(x):
    """[n][heads][d] as torch has it: [1][heads][n][d]."""
    return torch.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2)))[None]


def tokens_first(x):
    return x[0].transpose(0, 1).numpy()


class Ggml:
    """ggml_flash_attn_ext of the libggml*.so in a folder."""
    TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}

    class Params(c.Structure):
        _fields_ = [("mem_size", c.c_size_t), ("mem_buffer", c.c_void_p), ("no_alloc", c.c_bool)]

    def __init__(self, folder):
        paths = [path for name in ("-base", "-cpu*", "") for path in sorted(glob.glob(os.path.join(folder, f"libggml{name}.so")))]
        if not paths:
            sys.exit(f"{folder}: no libggml*.so")
        for path in paths:
            c.CDLL(path, c.RTLD_GLOBAL)
        self.lib = c.CDLL(None)
        for name in ("init", "new_tensor_4d", "flash_attn_ext", "new_graph", "get_data"):
            getattr(self.lib, "ggml_" + name).restype = c.c_void_p
        for name in ("nbytes", "quantize_chunk"):
            getattr(self.lib, "ggml_" + name).restype = c.c_size_t
        self.lib.ggml_init.argtypes = [self.Params]
        self.lib.ggml_cpu_init()

    def attend(self, q, k, v, scale, kv_type="f16"):
        """q [n_q][heads][d], k and v [n][kv_heads][d], causal; returns out [n_q][heads][d]."""
        lib, kind, n_q, n = self.lib, self.TYPES[kv_type], len(q), len(k)
        ctx = c.c_void_p(lib.ggml_init(self.Params(512 << 20, None, False)))

        def tensor(kind, array):
            """An array of f32 as a tensor of the same dims, the last one first."""
            array = np.ascontiguousarray(array, np.float32)
            dims = [1] * (4 - array.ndim) + list(array.shape)
            t = c.c_void_p(lib.ggml_new_tensor_4d(ctx, kind, *(c.c_int64(x) for x in reversed(dims))))
            data = c.c_void_p(lib.ggml_get_data(t))
            if kind == self.TYPES["f32"]:
                c.memmove(data, array.ctypes.data, array.nbytes)
            else:
                rows = array.size // array.shape[-1]
                lib.ggml_quantize_chunk(kind, array.ctypes.data_as(c.c_void_p), data, c.c_int64(0), c.c_int64(rows),
                                        c.c_int64(array.shape[-1]), None)
            return t
        mask = np.where(np.arange(n)[None] <= np.arange(n - n_q, n)[:, None], 0, -np.inf)
        out = c.c_void_p(lib.ggml_flash_attn_ext(
            ctx, tensor(self.TYPES["f32"], q.transpose(1, 0, 2)), tensor(kind, k.transpose(1, 0, 2)),
            tensor(kind, v.transpose(1, 0, 2)), tensor(self.TYPES["f16"], mask), c.c_float(scale), c.c_float(0), c.c_float(0)))
        graph = c.c_void_p(lib.ggml_new_graph(ctx))
        lib.ggml_build_forward_expand(graph, out)
        if lib.ggml_graph_compute_with_ctx(ctx, graph, 2) != 0:
            sys.exit("ggml_graph_compute_with_ctx failed")
        result = np.empty((n_q, q.shape[1], v.shape[2]), np.float32)
        c.memmove(result.ctypes.data, lib.ggml_get_data(out), result.nbytes)
        lib.ggml_free(ctx)
        return result


def nmse(got, right):
    """Squared error over squared values."""
    got, right = (np.asarray(x, np.float64) for x in (got, right))
    return float(((got - right) ** 2).sum() / (right ** 2).sum())
