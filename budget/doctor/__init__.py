"""Finds out whether budgets really hold on this machine, by trying it.

Each module knows one thing that can go wrong; here they are put in order. Nothing is left behind,
and nothing of the real ledger changes.
"""

import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from budget import __version__, installed, paths
from budget.doctor import books, client, configs, folder, hooks, surroundings, trial
from budget.doctor.findings import GROUPS, Examination, Finding, worst
from budget.errors import LedgerError
from budget.status import iso

__all__ = ["Examination", "Finding", "examine"]


def examine(
    env: paths.Env,
    project: paths.Project,
    now_ms: int,
    tell: Callable[[str], None] = lambda text: None,
) -> Examination:
    """Every finding, in the order in which a person would look. `tell` hears what is waited for."""
    began = time.monotonic()
    found, troubles = installed.installed(env, project)
    findings: list[Finding] = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        # Programs are started beside each other; the rest is looked at meanwhile.
        asked = pool.submit(client.clients, env)
        tried = [pool.submit(trial.try_out, each) for each in found]
        interpreters = pool.submit(lambda: list(hooks.interpreters(found, env)))
        findings += hooks.installation(found, troubles)
        findings += folder.examined(env)
        policy = configs.policy_here(env, project)
        findings += configs.examined(env, project, policy)
        findings += configs.prices(env, found, now_ms)
        findings += surroundings.variables(env, project)
        ledger, trouble = books.opened(env, project)
        findings += trouble
        if ledger:
            findings += books.examined(ledger, policy, now_ms)
        tell("trying the installed hooks on a used-up budget")
        for each, outcome in zip(found, tried, strict=True):
            findings += hooks.trials(each, outcome.result(), many=len(found) > 1)
        tell("asking the client for its version")
        clients = asked.result()
        findings += client.versions(clients)
        findings += client.hooks_run(env, project, found)
        try:
            first = clients[0] if clients else None
            findings += client.module_reports(env, ledger, found, first)
        except LedgerError:
            pass  # told above
        finally:
            if ledger:
                ledger.close()
        findings += interpreters.result()
    findings += hooks.private_environment(env)
    findings += surroundings.log(env)
    findings.sort(key=lambda each: GROUPS.index(each.group))
    return Examination(
        state=worst(findings),
        version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        project=project.root,
        state_folder=paths.state_folder(env),
        as_of=iso(now_ms),
        seconds=round(time.monotonic() - began, 2),
        findings=findings,
    )
