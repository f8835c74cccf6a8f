# SPDX-License-Identifier: Apache-2.0
"""ggml, of llama.cpp and of ik_llama.cpp: ggml_flash_attn_ext, called by ggml_attention.c."""
import glob
import os
import tarfile

from peer import HERE, Peer, Unavailable, cache_folder, quietly, venv

SDIST = "llama-cpp-python==0.3.36"  # its source archive on PyPI holds that of llama.cpp
AVX2 = ["-DGGML_NATIVE=OFF", "-DGGML_SSE42=ON", "-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON",
        "-DGGML_BMI2=ON", "-DGGML_AVX512=OFF"]


class Ggml(Peer):
    def __init__(self, name, title, types, defines):
        self.name, self.title, self.types, self.defines = name, title, types, defines

    def source(self, options):
        given = options.ik_llama if self.name == "ik" else options.llama_cpp
        if given:
            if not os.path.exists(os.path.join(given, "ggml", "include", "ggml.h")):
                raise Unavailable(f"{given} holds no ggml/include/ggml.h: give the folder of a checkout")
            return os.path.abspath(given)
        if self.name == "ik":
            raise Unavailable("no package has it: clone github.com/ikawrakow/ik_llama.cpp and give --ik-llama DIR")
        folder = cache_folder("llama.cpp")
        if not glob.glob(os.path.join(folder, "*", "vendor", "llama.cpp", "ggml")):
            quietly([venv("python"), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, SDIST],
                    "pip download " + SDIST)
            with tarfile.open(glob.glob(os.path.join(folder, "*.tar.gz"))[0]) as archive:
                archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        source = glob.glob(os.path.join(folder, "*", "vendor", "llama.cpp"))[0]
        if os.path.isfile(os.path.join(source, ".git")):
            os.remove(os.path.join(source, ".git"))  # points at a folder that the archive lacks
        return source

    def install(self, options, rows):
        source = self.source(options)
        self.build(source, "native", ["-DGGML_NATIVE=ON"])
        if any(self.command(row, "", 1) for row in rows if row.isa == "avx2"):
            self.build(source, "avx2", AVX2)

    def build(self, source, kind, flags):
        folder = cache_folder(self.name, kind)
        built = os.path.join(folder, "build")
        libraries = self.libraries(built)
        if not libraries:
            print(f"  building {self.title} for {kind}: minutes", flush=True)
            quietly(["cmake", "-S", source, "-B", built, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF",
                     "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_TOOLS=OFF",
                     "-DLLAMA_BUILD_SERVER=OFF", *flags], "cmake of " + self.title)
            quietly(["cmake", "--build", built, "-j", str(os.cpu_count()), "--target", "ggml"], "building " + self.title)
            libraries = self.libraries(built)
        words = ["cc", "-O2", "-std=gnu17", *self.defines, os.path.join(HERE, "ggml_attention.c"), "-I",
                 os.path.join(source, "ggml", "include"), *libraries, "-lm", "-o", os.path.join(folder, "ggml_attention")]
        words += ["-Wl,-rpath," + path for path in sorted({os.path.dirname(x) for x in libraries})]
        quietly(words, "compiling ggml_attention.c")

    @staticmethod
    def libraries(built):
        return sorted(glob.glob(os.path.join(built, "**", "libggml*.so"), recursive=True))

    def command(self, row, out, threads):
        if row.requests > 256 or (row.isa and self.name == "ik"):  # whose build takes minutes: one is enough
            return None
        types = "f32,f16" if row.kv_type == "f32" and self.name == "ggml" else self.types
        numbers = [row.heads, row.kv_heads, row.d_k, row.dim_v, int(row.v_in_k), row.requests, row.shared, row.queries,
                   row.window, threads]
        return [os.path.join(cache_folder(self.name, row.isa or "native"), "ggml_attention"), *map(str, numbers), out,
                ",".join(map(str, row.contexts)), types]


def peers():
    return [Ggml("ik", "ik_llama.cpp", "f16,q8_0,bf16", ["-DPEER_IK"]), Ggml("ggml", "ggml", "f16,q8_0,bf16", [])]
