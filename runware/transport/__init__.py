"""The I/O: one thread that owns the socket, and what it needs to connect, wait and call back."""
