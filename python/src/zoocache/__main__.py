"""`python -m zoocache`: the same as the command `zoocache`."""

from zoocache.cli import main

if __name__ == "__main__":
    main()
