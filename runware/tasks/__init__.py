"""Request classes: what can be asked of the server, one class an operation."""
