"""The I/O: one thread that owns the socket, and its parts to connect, poll, wake callers and run callbacks."""
