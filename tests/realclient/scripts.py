"""Ready-made behaviour of the model: what it asks for, step by step.

Scripts look at the conversation in the request and keep no state, so one serves resumed sessions,
several prompts and several agents at once.
"""

from __future__ import annotations

import json

from .answer import NO_USAGE, STEP_USAGE, Answer, Call, Usage
from .request import Request, Script


def bash_loop(n: int | None = 1, usage: Usage = STEP_USAGE, *, delay_s: float = 0.0) -> Script:
    """Per prompt ``n`` steps asking Bash for ``echo step-k``, then a closing text: n + 1 requests.

    With None it never closes. Works in the main thread and in any agent.
    """

    def script(request: Request) -> Answer:
        k = request.turn_step
        if n is not None and k > n:
            return Answer(done(n), usage=usage, delay_s=delay_s)
        call = Call("Bash", {"command": f"echo step-{k}", "description": f"Say step-{k}"})
        return Answer(f"step {k}", (call,), usage, delay_s)

    return script


def done(n: int) -> str:
    """The closing text of a loop of ``n`` steps, to wait for on a screen."""
    return f"done after {n} step{'' if n == 1 else 's'}"


def agent_marker(k: int) -> str:
    """The marker of the k-th spawned agent, counted from 1."""
    return f"agent-{k}"


def spawn_agents(
    count: int, steps: int | None, usage: Usage = STEP_USAGE, *, background: bool = True
) -> Script:
    """The main thread starts ``count`` agents in its first step and then closes its turn.

    Each agent's prompt carries ``[[agent-k]]``; each runs a loop of ``steps`` Bash steps. Every
    later prompt of the main thread, notifications of finished agents included, is answered with a
    text; the client puts notifications that come close together into one prompt.
    ``background=False`` asks the client to wait for the agents, which only its headless form does.
    """
    loop = bash_loop(steps, usage)
    markers = [agent_marker(k) for k in range(1, count + 1)]
    foreground: dict[str, object] = {} if background else {"run_in_background": False}

    def script(request: Request) -> Answer:
        if request.marker in markers:
            return loop(request)
        if request.called("Agent"):
            return Answer("noted", usage=usage)
        calls = tuple(agent(marker, **foreground) for marker in markers)
        return Answer(f"starting {count} agents", calls, usage)

    return script


def workflow(count: int) -> Call:
    """Asks for a workflow of ``count`` agents in parallel, each with its marker ``[[agent-k]]``.

    The client asks the person first, so ``permissions.allow`` needs ``Workflow``. It runs in the
    background and ends with a notification. Its agents write
    ``subagents/workflows/wf_*/agent-*.jsonl``, beside a journal (2.1.330, 2026-11-27).
    """
    return Call(
        "Workflow",
        {
            "script": "export const meta = { name: 'count', description: 'Agents that count' }\n"
            f"const markers = {json.dumps([agent_marker(k) for k in range(1, count + 1)])}\n"
            "const told = await parallel(markers.map(marker => () =>\n"
            "  agent(`[[${marker}]] Count with Bash.`, { label: marker })))\n"
            "return { told }\n"
        },
    )


def agent(marker: str, **more: object) -> Call:
    """Asks for a general-purpose agent whose prompt carries a marker."""
    return Call(
        "Agent",
        {
            "description": f"Count as {marker}",
            "prompt": f"[[{marker}]] Count with Bash.",
            "subagent_type": "general-purpose",
            **more,
        },
    )


def summary(usage: Usage = NO_USAGE) -> Script:
    """Answers a compaction; the summary keeps the conversation's marker."""

    def script(request: Request) -> Answer:
        kept = f" [[{request.marker}]]" if request.marker else ""
        return Answer(f"<summary>A stub's summary.{kept}</summary>", usage=usage)

    return script


def title(usage: Usage = NO_USAGE) -> Script:
    """Answers what the client asks beside the conversation: a session title, as JSON."""
    return lambda _: Answer(json.dumps({"title": "Stub session"}), usage=usage)
