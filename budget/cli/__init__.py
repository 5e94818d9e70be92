"""The `budget` command: one module per subcommand, and the one place where errors end."""

import errno
import gc
import os
import signal
import sys
from typing import TextIO, cast

from budget.cli import place
from budget.errors import BudgetError, OptionError
from budget.files import printable_lines
from budget.shown import Shown


def main() -> None:
    """Exit codes: 0 fine, 1 a budget is exceeded, 2 wrong usage, 3 an expected error, 4 a bug."""
    place.callers_umask = os.umask(0o077)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that goes away ends it quietly
    output = sys.stdout
    sys.stdout = cast(TextIO, Shown(output))
    try:
        try:
            _run(sys.argv[1:])
        finally:
            if output:
                output.flush()
    except BudgetError as error:
        print(f"budget: {printable_lines(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the boundary: a bug is reported, not thrown at people
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            print(f"budget: It cannot be written: {error.strerror}.", file=sys.stderr, flush=True)
            os._exit(3)  # an orderly end would try again
        from budget.bug_report import log_bug

        told = log_bug(error, dict(os.environ), " ".join(sys.argv[1:2]))
        print(f"budget: {printable_lines(told)}", file=sys.stderr)
        sys.exit(4)
    finally:
        sys.stdout = output


def _run(words: list[str]) -> None:
    """The plain forms of `report` and `import` at once, everything else through the parser."""
    gc.disable()  # many small values, none of them in a cycle, and soon all of them go
    from budget.cli import plain

    told = plain.arguments(words)
    if told is not None:
        try:
            plain.run(words[0], told)
            _end()
        except OptionError:
            pass  # the parser says it, with the usage
    gc.enable()
    from budget.cli.app import app

    app()


def _end() -> None:
    """Ends at once: taking the interpreter down takes longer than many a report."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise BudgetError(f"The output cannot be written: {error.strerror}.") from error
    os._exit(0)
