"""The engine: one session, one I/O thread, one socket. It knows tasks as text and UUIDs, and no face."""
