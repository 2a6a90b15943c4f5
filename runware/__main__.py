"""`python -m runware`, or the console script `runware`: the command line."""

import sys

from runware._support.lazy_modules import load_module


def main() -> None:
    """Run the command line, or report that its extra is missing."""
    try:
        try:
            load_module("typer")
            load_module("rich")
        except ImportError:
            sys.exit("error: the command line needs an extra: pip install 'runware-client[cli]'")
        load_module("runware.cli").app()
    except KeyboardInterrupt:  # while it starts
        sys.exit(130)


if __name__ == "__main__":
    main()
