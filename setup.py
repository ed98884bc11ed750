"""Builds the two C kernels where a compiler is at hand; the package works without them, more slowly."""

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No -ffast-math: scores may be infinite or NaN. The others let loops become vectors; Python's own flags have -fwrapv.
VECTORS = ["-O3", "-g0", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-fno-wrapv"]
if platform.system() == "Linux" and platform.machine() == "x86_64":
    VECTORS.append("-mno-mmx")  # gcc 12 moves numbers through MMX and leaves the x87 unit unusable to who comes after
# gcc unrolls loops of known length whole: below its limit of 200, AVX-512's file compiles in half the time.
GCC_ALONE = ["--param", "max-completely-peeled-insns=100"]

# A wheel holds the kernels of the losses for each of these; `NOISEPROOF_INSTRUCTIONS=avx2` compiles one of them.
instructions = os.environ.get("NOISEPROOF_INSTRUCTIONS", "avx512 avx2 plain").split()

kernels = "src/noiseproof/losses/_kernels"
losses = Extension(
    "noiseproof.losses._kernels._kernel",
    sources=[
        f"{kernels}/{name}.c"
        for name in (*(f"{part}_{each}" for part in ("dense", "worker") for each in instructions), "kernel")
    ],
    define_macros=[(f"WITH_{each.upper()}", None) for each in instructions],
    depends=[
        f"{kernels}/{name}.h"
        for name in (
            "block",
            "call",
            "dense",
            "dense_rows",
            "lanes",
            "numbers",
            "pair_rows",
            "pairs",
            "passes",
            "program",
            "registers",
            "steps",
            "worker",
            "worker_body",
        )
    ],
    extra_compile_args=[*VECTORS, "-pthread"],
    extra_link_args=["-pthread"],
    libraries=["m"],
    py_limited_api=True,
    optional=True,
)
pictures = Extension(
    "noiseproof.data.pipeline._crops",
    sources=["src/noiseproof/data/pipeline/crops.c"],
    extra_compile_args=[*VECTORS, "-ffp-contract=off"],  # to the bit what torch computes
    py_limited_api=True,
    optional=True,
)


def _is_gcc(command: str) -> bool:
    words = [command, "--version"]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout  # noqa: S603 - the compiler
    return "Free Software Foundation" in said


class SideBySide(build_ext):
    """Compiles the files of an extension at the same time."""

    def build_extension(self, extension: Extension) -> None:
        compiler = self.compiler
        if compiler.compiler_type == "unix" and _is_gcc(compiler.compiler_so[0]):
            extension.extra_compile_args += GCC_ALONE
        one_after_the_other = compiler.compile

        def compile(sources: list[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: one_after_the_other([source], **options), sources)
                return [path for each in objects for path in each]

        compiler.compile = compile
        try:
            super().build_extension(extension)
        finally:
            compiler.compile = one_after_the_other


setup(
    cmdclass={"build_ext": SideBySide},
    ext_modules=[losses, pictures],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
