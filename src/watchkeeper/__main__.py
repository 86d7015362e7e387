"""``python -m watchkeeper`` is the command line."""

from watchkeeper.cli import main

if __name__ == "__main__":
    main()
