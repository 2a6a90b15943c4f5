"""The protocol: every decision, without I/O, clock or thread."""
