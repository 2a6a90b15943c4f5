"""Servers and adapters for other programs, each with an extra of its own."""
