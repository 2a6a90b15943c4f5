"""Connections to other tools. Each module is loaded only when it is imported, and needs the extra of its name."""
