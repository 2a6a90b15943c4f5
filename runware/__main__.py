"""`python -m runware`, or the console script `runware`: the command line."""

import os
import sys

from runware._support.lazy_modules import load_module


def main() -> None:
    """Run the command line, or report that its extra is missing."""
    try:
        load_module("typer")
    except ImportError:
        sys.exit("error: the command line needs an extra: pip install 'runware-client[cli]'")
    app = load_module("runware.cli").app
    if os.environ.get("_RUNWARE_COMPLETE") == "complete_bash":
        load_module("runware.cli.completion").completing_in_bash(app)
    else:
        app()


if __name__ == "__main__":
    main()
