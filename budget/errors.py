"""Errors that are expected: each is one clear message for a person, never a stack trace."""


class BudgetError(Exception):
    """An expected failure. `exit_code` is the command's; the text says what to do."""

    exit_code = 3


class ConfigError(BudgetError):
    """A config that does not validate: names the file, the line and the key."""


class LedgerError(BudgetError):
    """A ledger that cannot be opened, read or written. Never means "nothing was spent"."""


class DamagedLedgerError(LedgerError):
    """A ledger's file that is none, or is broken: what is in it cannot be read."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text)
        self.path = path


class StateError(LedgerError, OSError):
    """What lies in the state folder and is not used: a link, or another user's.

    An `OSError`, too: where one is passed over, so is this.
    """


class InputError(BudgetError):
    """Hook input or a transcript that is not what the client sends."""


class PriceError(BudgetError):
    """The price table cannot be read."""


class OptionError(BudgetError):
    """A value of a command's option that cannot be: the text names the option."""

    exit_code = 2
