"""`python -m foretell`: the command line."""

from foretell.cli import main

if __name__ == "__main__":
    main()
