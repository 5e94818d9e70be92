"""Budgets for programs on the Claude Agent SDK (`pip install 'codebudget[sdk]'`).

    async for message in budget.sdk.query(prompt="...", options=options, user="ana"):
        ...

`query` and `Client` take the place of the SDK's `query` and `ClaudeSDKClient`: each step is booked
once, the client's own total is compared with the steps, and `BudgetExceeded` says when a budget
stopped the run. `guard` returns options for the SDK's own functions.

Source of what the SDK does: claude-agent-sdk 0.2.187 with Claude Code 2.1.330, measured 2026-11-23.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import anyio
import anyio.to_thread
import claude_agent_sdk
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    Message,
    ProcessError,
    ResultMessage,
    Transport,
)

from budget import paths, sessions
from budget.allowance import lowest
from budget.conversation import BudgetExceeded, Budgets, Conversation, program_config
from budget.model import AGENT_TOOLS, PICO
from budget.result import result_of

__all__ = ["BudgetExceeded", "Client", "guard", "query"]

# `SessionStart` and `SessionEnd` are not delivered to callbacks of the SDK.
_EVENTS = ("UserPromptSubmit", "PreToolUse", "PostToolBatch", "SubagentStop", "Stop", "PreCompact")
_HOOK_TIMEOUT_S = 15.0


def guard(
    options: ClaudeAgentOptions | None = None,
    *,
    user: str | None = None,
    project: str | os.PathLike[str] | None = None,
    budgets: Budgets | None = None,
) -> ClaudeAgentOptions:
    """Options for one run under the budgets of its project.

    They carry hooks, which book each step and stop the run, and `max_budget_usd`: what is left now,
    or the caller's own, whichever is lower. So they are for one run: make new ones for the next.
    `user` is whose work it is (default: as for the hooks), `project` the folder whose ledger and
    configs hold (default: the options' `cwd`), `budgets` are further budgets. Raises
    `BudgetExceeded` when nothing is left, `ConfigError` for budgets that are not valid,
    `LedgerError`. Blocks for some milliseconds.
    """
    return _prepare(options, user, project, budgets)[0]


async def query(
    *,
    prompt: str | AsyncIterable[dict[str, Any]],
    options: ClaudeAgentOptions | None = None,
    transport: Transport | None = None,
    user: str | None = None,
    project: str | os.PathLike[str] | None = None,
    budgets: Budgets | None = None,
) -> AsyncGenerator[Message, None]:
    """The SDK's `query`, under budgets. Arguments and errors: see `guard`.

    Raises `BudgetExceeded` after the last message when a budget stopped the run. What was used is
    booked also when the run fails, is cancelled or is left early.
    """
    guarded, conversation = await _in_thread(_prepare, options, user, project, budgets)
    inner = claude_agent_sdk.query(prompt=prompt, options=guarded, transport=transport)
    try:
        async with aclosing(cast(AsyncGenerator[Message, None], inner)) as messages:
            async for message in messages:
                await _hear(conversation, message)
                yield message
    except ProcessError as error:
        # At its own limit the client exits with 1.
        exceeded = await _in_thread(conversation.exceeded)
        if exceeded:
            raise exceeded from error
        raise
    finally:
        await _settled(conversation)
    exceeded = await _in_thread(conversation.exceeded)
    if exceeded:
        raise exceeded


class Client(ClaudeSDKClient):
    """The SDK's `ClaudeSDKClient`, under budgets. Arguments and errors: see `guard`.

    `connect` and `query` raise `BudgetExceeded` when nothing is left, `receive_messages` and
    `receive_response` after the result of a turn that a budget stopped.
    """

    def __init__(
        self,
        options: ClaudeAgentOptions | None = None,
        transport: Transport | None = None,
        *,
        user: str | None = None,
        project: str | os.PathLike[str] | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        super().__init__(options, transport)
        self._terms = (options, user, project, budgets)
        self._conversation: Conversation | None = None

    async def connect(self, prompt: str | AsyncIterable[dict[str, Any]] | None = None) -> None:
        self.options, self._conversation = await _in_thread(_prepare, *self._terms)
        await super().connect(prompt)

    async def query(
        self, prompt: str | AsyncIterable[dict[str, Any]], session_id: str = "default"
    ) -> None:
        if self._conversation:
            await _in_thread(self._conversation.check)
        await super().query(prompt, session_id)

    async def receive_messages(self) -> AsyncIterator[Message]:
        async for message in super().receive_messages():
            if self._conversation:
                await _hear(self._conversation, message)
            yield message
            if isinstance(message, ResultMessage):
                await self._raise_if_exceeded()

    async def receive_response(self) -> AsyncIterator[Message]:
        async for message in super().receive_response():
            yield message
        await self._raise_if_exceeded()

    async def disconnect(self) -> None:
        try:
            await super().disconnect()
        finally:
            if self._conversation:
                await _settled(self._conversation)

    async def _raise_if_exceeded(self) -> None:
        exceeded = self._conversation and await _in_thread(self._conversation.exceeded)
        if exceeded:
            raise exceeded


# -- what the options become -----------------------------------------------------------------------


def _prepare(
    options: ClaudeAgentOptions | None,
    user: str | None,
    project: str | os.PathLike[str] | None,
    budgets: Budgets | None,
) -> tuple[ClaudeAgentOptions, Conversation]:
    options = options or ClaudeAgentOptions()
    own: dict[str, str] = {}
    if user is not None:
        own = {"BUDGET_USER": user, paths.MANY_USERS: "1"}
    env = {**os.environ, **options.env, **own}
    folder = os.path.realpath(options.cwd or os.getcwd())
    found = paths.find_project(os.path.realpath(project) if project else folder)
    if budgets:
        own["BUDGET_SDK_CONFIG"] = env["BUDGET_SDK_CONFIG"] = program_config(env, budgets)
    persists = "no-session-persistence" not in options.extra_args
    conversation = Conversation(env, found, persists)
    session_id = options.session_id or options.resume or ""
    if options.continue_conversation and not session_id:
        session_id = sessions.newest_session(env, folder)
    left = conversation.begin(session_id, folder, options.fork_session)
    theirs = options.max_budget_usd
    limit = lowest(left.left_picousd, None if theirs is None else round(theirs * PICO))
    guarded = replace(
        options,
        env={**options.env, **own},
        hooks=_hooks(options, conversation.answer),
        max_budget_usd=None if limit is None else limit / PICO,
    )
    return guarded, conversation


def _hooks(
    options: ClaudeAgentOptions, answer: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Any:
    """Ours beside those the caller has. The SDK's list of events lacks `PostToolBatch`."""

    async def callback(payload: Any, tool_use_id: str | None, context: Any) -> Any:
        return await _in_thread(answer, payload)

    hooks: dict[str, list[HookMatcher]] = {
        str(event): list(matchers) for event, matchers in (options.hooks or {}).items()
    }
    for event in _EVENTS:
        matcher = "|".join(AGENT_TOOLS) if event == "PreToolUse" else None
        ours = HookMatcher(matcher=matcher, hooks=[callback], timeout=_HOOK_TIMEOUT_S)
        hooks[event] = [ours, *hooks.get(event, [])]
    return hooks


# -- what the messages tell ------------------------------------------------------------------------


async def _hear(conversation: Conversation, message: Message) -> None:
    if isinstance(message, AssistantMessage) and message.session_id:
        told = {"id": message.message_id, "model": message.model, "usage": message.usage}
        conversation.hear_step(told, message.session_id, message.parent_tool_use_id or "")
    elif isinstance(message, ResultMessage):
        result = result_of(
            {
                "type": "result",
                "subtype": message.subtype,
                "session_id": message.session_id,
                "terminal_reason": message.terminal_reason,
                "is_error": message.is_error,
                "total_cost_usd": message.total_cost_usd,
                "modelUsage": message.model_usage,
            }
        )
        if result:
            conversation.hear_result(result)
            await _in_thread(conversation.settle)


async def _settled(conversation: Conversation) -> None:
    """Books what a run left, also when it is being cancelled."""
    with anyio.CancelScope(shield=True):
        await _in_thread(conversation.settle)


async def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(function, *arguments)
