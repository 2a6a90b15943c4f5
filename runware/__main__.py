"""`python -m runware`, or the console script `runware`: the command line."""

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        import typer  # noqa: F401 - whether it is there
    except ImportError:
        sys.exit("error: the command line needs an extra: pip install 'runware-client[cli]'")
    from runware.cli import app

    app()


if __name__ == "__main__":
    main()
