"""Display of results and progress: in notebooks, and as progress bars.

Attributes:
    embed: Whether notebooks keep the files that they show: `runware.display.embed = True`. Results are then downloaded
        when they are shown, and stored in the notebook, up to 8 MiB each. `False`, the default, loads them by their
        URLs, which expire. `result.embed()` does it for one result.
"""

embed = False
