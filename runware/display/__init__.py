"""Display of results and progress: in notebooks, and as progress bars."""
