"""Text: streams of it, and what they are made of."""
