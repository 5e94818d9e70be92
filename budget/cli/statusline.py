"""`budget statusline`: the line the client shows below its prompt."""


def statusline() -> None:
    """Print the status line for the JSON that Claude Code writes to stdin.

    `budget install` sets it up in settings.json.
    """
    from budget.statusline import main

    main()
