"""Small utilities without knowledge of the API: locks, logging, escaping, unknown names."""
