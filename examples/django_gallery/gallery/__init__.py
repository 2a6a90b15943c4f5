"""A gallery of pictures that visitors ask for."""
