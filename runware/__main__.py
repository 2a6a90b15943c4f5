"""`python -m runware`, or the console script `runware`: the command line."""

import sys


def main() -> None:
    """Run the command line, or report that its extra is missing."""
    try:
        import typer  # noqa: F401 - check that it is installed
    except ImportError:
        sys.exit("error: the command line needs an extra: pip install 'runware-client[cli]'")
    from runware.cli import app

    app()


if __name__ == "__main__":
    main()
