"""`python -m get3d` is the same as `get3d`."""

from get3d.cli import main

if __name__ == "__main__":
    main()
