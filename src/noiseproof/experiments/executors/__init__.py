"""Executors: the processes that compute runs, on this machine or on a Ray cluster."""
