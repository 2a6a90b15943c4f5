"""What the client costs, measured against the bare limits in the same run. Start with `python -m benchmarks.run`."""
