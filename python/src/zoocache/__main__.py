"""`python -m zoocache`: the same as the command `zoocache`."""

from zoocache.cli import main

main()
