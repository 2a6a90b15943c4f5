"""How results and progress are shown: in notebooks, and as bars."""
