"""Benchmarks behind `noiseproof bench`: our speed beside the alternatives, in one process."""
