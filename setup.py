"""Builds the row kernel of the losses where a C compiler is at hand; the package works without it, more slowly."""

from setuptools import Extension, setup

folder = "src/noiseproof/losses/rows"
kernel = Extension(
    "noiseproof.losses.rows._kernel",
    sources=[f"{folder}/kernel.c"],
    depends=[f"{folder}/{name}.h" for name in ("block", "numbers", "passes", "program")],
    # no -ffast-math: scores may be infinite or NaN. The others let loops become vectors; Python's flags have -fwrapv.
    extra_compile_args=["-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-fno-wrapv", "-pthread"],
    extra_link_args=["-pthread"],
    libraries=["m"],
    py_limited_api=True,
    optional=True,
)
setup(ext_modules=[kernel], options={"bdist_wheel": {"py_limited_api": "cp311"}})
