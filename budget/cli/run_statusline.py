"""What `budget statusline` does, without its parser."""

from budget.statusline import Options, show


def run(form: str = "", plain: bool = False, other: str = "") -> None:
    """Prints the line and ends the process."""
    show(Options(form, plain, other))
