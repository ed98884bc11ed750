"""Builds the two C kernels where a compiler is at hand; the package works without them, more slowly."""

import platform

from setuptools import Extension, setup

# No -ffast-math: scores may be infinite or NaN. The others let loops become vectors; Python's own flags have -fwrapv.
VECTORS = ["-O3", "-g0", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-fno-wrapv"]
if platform.system() == "Linux" and platform.machine() == "x86_64":
    VECTORS.append("-mno-mmx")  # gcc 12 moves numbers through MMX and leaves the x87 unit unusable to who comes after

kernels = "src/noiseproof/losses/_kernels"
losses = Extension(
    "noiseproof.losses._kernels._kernel",
    sources=[f"{kernels}/kernel.c"],
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
setup(ext_modules=[losses, pictures], options={"bdist_wheel": {"py_limited_api": "cp311"}})
