"""A gallery of images that visitors request."""
