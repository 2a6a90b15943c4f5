"""Measure what the client costs, against minimal loops in the same run. Start with `python -m benchmarks.run`."""
