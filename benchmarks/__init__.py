"""Side-by-side timings against hand-written NumPy and the peers, in one run: ``python -m benchmarks``."""
