"""Experiments: what a run is, grids of runs, the driver that computes them, and the records they leave."""
