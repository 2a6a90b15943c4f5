"""The protocol: every decision of the client, without I/O, clock or thread."""
