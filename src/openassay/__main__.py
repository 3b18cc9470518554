"""`python -m openassay`: the command line."""

from openassay.cli import main

if __name__ == "__main__":
    main()
