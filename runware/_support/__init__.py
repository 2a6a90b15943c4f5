"""Small parts that know nothing of the API."""
