"""What a large policy costs a hook: 5 layers and 20 budgets against one budget, in the same run.

    python -m bench.policy_time [--rounds 60]

Each round runs the warm PostToolBatch hook (see `bench.hook_time`) once under each policy, in
turn, as whole processes, on one new step each. The ratio of the medians of processor time is the
figure.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.hook_time import CONFIG, HOOK, filler, payload, step_line

ONE = CONFIG.partition("[budgets.day]")[0]
KINDS = ("session", "hour", "day", "week", "month", "total", "rolling 5h", "rolling 90m")
UNITS = ("usd", "tokens", "output_tokens", "steps")
LAYERS = ("policy", "team", "local", "user", "repo")


def budgets(layer: int) -> str:
    """Four budgets, all different from those of the other layers."""
    text = "version = 1\n"
    for number in range(4 * layer, 4 * layer + 4):
        scope = '\nscope = "user"' if number % 10 == 5 else ""
        models = '\nmodels = ["*sonnet*"]' if number % 7 == 3 else ""
        text += f'[budgets.b{number}]\nper = "{KINDS[number % len(KINDS)]}"\n'
        unit = UNITS[number % len(UNITS)]
        text += f"{unit} = {10**6 if unit == 'usd' else 10**12}{scope}{models}\n"
    return text


class Setup:
    """A home, a project and its configs."""

    def __init__(self, folder: Path, large: bool) -> None:
        self.project = folder / "project"
        claude = self.project / ".claude"
        claude.mkdir(parents=True)
        home = folder / "home"
        self.transcript = home / ".claude" / "projects" / "bench" / "bench.jsonl"
        self.transcript.parent.mkdir(parents=True)
        self.env = {
            "HOME": str(home),
            "BUDGET_HOME": str(folder / "state"),
            "PATH": os.defpath,
            "CLAUDE_PROJECT_DIR": str(self.project),
            "CLAUDE_CODE_ENTRYPOINT": "cli",
            "BUDGET_USER": "bench",
        }
        if large:
            self.env["BUDGET_POLICY"] = str(folder / "team.toml")
            files = (
                folder / "team.toml",
                claude / "budget-policy.toml",
                claude / "budget.local.toml",
                home / ".claude" / "budget.toml",
                claude / "budget.toml",
            )
            for layer, file in enumerate(files):
                file.write_text(budgets(layer))
        else:
            (claude / "budget.toml").write_text(ONE)
        self.transcript.write_text("".join(step_line(n) + filler(48_000) for n in range(20)))

    def hook(self, number: int) -> float:
        """Processor time of one hook on one new step."""
        with self.transcript.open("a") as file:
            file.write(step_line(number))
        event = payload(number, self.transcript, self.project)
        process = subprocess.Popen(
            HOOK, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin and process.stdout
        process.stdin.write(event)
        process.stdin.close()
        said = process.stdout.read()
        _, code, used = os.wait4(process.pid, 0)
        if code or (said and number > 10**9):
            raise SystemExit(f"the hook had something to say: {code} {said.decode()}")
        return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        setups = [Setup(Path(folder, name), name == "large") for name in ("one", "large")]
        times: list[list[float]] = [[], []]
        for number in range(10**9, 10**9 + rounds + 1):
            for setup, taken in zip(setups, times, strict=True):
                taken.append(setup.hook(number))
        one, large = (statistics.median(taken[1:]) for taken in times)
    print(f"1 budget in 1 layer      {one * 1000:.1f} ms of processor time")
    print(f"20 budgets in 5 layers   {large * 1000:.1f} ms: {large / one:.2f} x")


if __name__ == "__main__":
    main()
