"""`python -m budget` is the `budget` command."""

from budget.cli import main

main()
