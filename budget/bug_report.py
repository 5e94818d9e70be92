"""A paste-ready report of a bug: versions and the traceback, no prompt text, no settings."""

import os
import time

from budget import __version__, paths, system
from budget.files import append_own

_LARGEST_LOG = 1024 * 1024


def log_bug(error: Exception, env: paths.Env, where: str) -> str:
    """Appends the report to the log of the state folder; returns the sentence that names it."""
    import platform
    import traceback

    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = (
        f"--- {at} budget {__version__}, Python {platform.python_version()},"
        f" {platform.platform()}, at: {where}\n"
        f"{''.join(traceback.format_exception(error))}\n"
    )
    path = paths.log_file(env)
    try:
        paths.check_state(env)
        if os.path.exists(path) and os.path.getsize(path) > _LARGEST_LOG:
            system.replace(path, path + ".old")
        append_own(path, report)
    except OSError:
        return f"This is a bug in budget ({type(error).__name__}), and its log cannot be written."
    return f"This is a bug in budget ({type(error).__name__}); {path} has what to report."
