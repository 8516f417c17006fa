"""`python -m get3d` is the same as `get3d`."""

import sys


def main() -> None:
    """Runs a command, as `get3d.cli.main` describes. Ctrl-C is one line also while modules are imported."""
    try:
        from get3d.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
