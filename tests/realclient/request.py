"""What the client asked, read from the request alone.

Values only. What is said here about the client's texts was seen in its version 2.1.330.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .answer import NO_USAGE, Answer, Usage

MARKER = re.compile(r"\[\[([\w.-]+)\]\]")
"""A word in double square brackets; in a prompt it tells one agent's requests from another's."""

COMPACTION = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."
"""How a text of a compaction request's last user message begins; its tools are all there."""

REMINDER = "<system-reminder>"
"""How a text begins that the client put into a user message by itself."""

NOTIFICATION = "<task-notification>"
"""Stands in the prompt with which a finished background agent wakes its parent, a reminder."""


@dataclass(frozen=True)
class Request:
    """One request for a message, as received, and what it was answered with.

    ``index`` counts all requests of the stub from 1. ``step`` counts those of one session, agent
    and marker from 1, errors left out: a retry has the same step and a higher ``attempt``.
    Background and compaction requests have counts of their own. ``answer`` is None until decided,
    ``message_id`` also when the answer is an error. Header names are lower case.
    """

    index: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    step: int = 0
    attempt: int = 0
    answer: Answer | None = None
    message_id: str | None = None

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def session_id(self) -> str:
        """The client's session; subagents carry their parent's."""
        return self.headers.get("x-claude-code-session-id", "")

    @property
    def agent_id(self) -> str | None:
        """The subagent that asks; None for the main thread."""
        return self.headers.get("x-claude-code-agent-id")

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("messages", ()))

    @property
    def tools(self) -> dict[str, Mapping[str, Any]]:
        """The tools on offer, by name."""
        return {str(tool.get("name")): tool for tool in self.body.get("tools", ())}

    @property
    def has_tools(self) -> bool:
        return bool(self.body.get("tools"))

    @property
    def is_background(self) -> bool:
        """A request beside the conversation, such as the session title: it offers no tools."""
        return not self.has_tools

    @property
    def is_compaction(self) -> bool:
        return self.has_tools and any(
            text.startswith(COMPACTION) for text in texts(last(self.messages, "user"))
        )

    @property
    def kind(self) -> str:
        """``step``, ``background`` or ``compaction``."""
        if self.is_background:
            return "background"
        return "compaction" if self.is_compaction else "step"

    @property
    def marker(self) -> str | None:
        """The marker in the first user message, the client's reminders aside; None without one."""
        first = next((m for m in self.messages if m.get("role") == "user"), {})
        found = MARKER.search("\n".join(said(first)))
        return found.group(1) if found else None

    @property
    def turn_step(self) -> int:
        """1 for the first request after a prompt, 2 after one batch of tool results, and so on."""
        steps = 1
        for message in reversed(self.messages):
            if is_prompt(message) or (message.get("role") == "assistant" and not calls(message)):
                break
            steps += message.get("role") == "assistant"
        return steps

    @property
    def prompt(self) -> str:
        """What opened this turn: typed by a person or sent by the client (see ``NOTIFICATION``)."""
        # The last text: before it stands what ``/clear`` or ``/compact`` left behind.
        return next((said(m)[-1] for m in reversed(self.messages) if is_prompt(m)), "")

    def called(self, tool: str) -> bool:
        """Whether the conversation so far has a call of this tool."""
        return any(call.get("name") == tool for message in self.messages for call in calls(message))

    @property
    def usage(self) -> Usage:
        """The usage stated for this request; none while unanswered or when it was refused."""
        if self.answer is None or self.answer.http_status >= 400:
            return NO_USAGE
        return self.answer.usage


Script = Callable[[Request], Answer]
"""Decides each answer. Called on the server's threads, for one request of an agent at a time."""


def blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A message's content blocks; plain text becomes one text block."""
    content = message.get("content", ())
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def texts(message: Mapping[str, Any]) -> list[str]:
    return [str(block.get("text", "")) for block in blocks(message) if block.get("type") == "text"]


def calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [block for block in blocks(message) if block.get("type") == "tool_use"]


def said(message: Mapping[str, Any]) -> list[str]:
    """The texts that ask for something: all but the client's own reminders, notifications kept."""
    return [
        text
        for text in texts(message)
        if NOTIFICATION in text or not text.lstrip().startswith(REMINDER)
    ]


def last(messages: list[Mapping[str, Any]], role: str) -> Mapping[str, Any]:
    return next((m for m in reversed(messages) if m.get("role") == role), {})


def is_prompt(message: Mapping[str, Any]) -> bool:
    """Whether a message opens a turn: the user's, with something said and no tool result."""
    return (
        message.get("role") == "user"
        and not any(block.get("type") == "tool_result" for block in blocks(message))
        and bool(said(message))
    )
