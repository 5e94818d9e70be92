"""A client that is played: the real SDK and our hooks, without a process of the client.

It speaks the protocol of `claude --output-format stream-json --input-format stream-json` (2.1.330):
answers `initialize`, and per prompt makes steps until it is done or a hook stops it. Each step is
written to the transcript first, then told, then its `PostToolBatch` hook is waited for.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from claude_agent_sdk import Transport

MODEL = "claude-sonnet-5"
STEP_PICO = 200 * 2_000_000 + 200 * 10_000_000  # 2 and 10 USD per million tokens
STEP_USD = STEP_PICO / 10**12


class Played(Transport):
    """One conversation of `steps` steps per prompt, in a session of its own."""

    def __init__(self, config_dir: str, project: str, steps: int = 3, delay_s: float = 0.0) -> None:
        self.session_id = str(uuid.uuid4())
        self.made = 0
        self._steps, self._delay_s = steps, delay_s
        self._project = project
        folder = os.path.join(config_dir, "projects", "played")
        os.makedirs(folder, exist_ok=True)
        self._transcript = os.path.join(folder, f"{self.session_id}.jsonl")
        self._out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._hooks: dict[str, list[dict[str, Any]]] = {}
        self._turn: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Nothing is started."""

    def is_ready(self) -> bool:
        return True

    async def write(self, data: str) -> None:
        message = json.loads(data)
        if message["type"] == "control_request":
            self._hooks = message["request"].get("hooks") or self._hooks
            answer = {"subtype": "success", "request_id": message["request_id"], "response": {}}
            self._out.put_nowait({"type": "control_response", "response": answer})
        elif message["type"] == "control_response":
            told = message["response"]
            self._answers.pop(told["request_id"]).set_result(told.get("response") or {})
        elif message["type"] == "user":
            self._turn = asyncio.create_task(self._work(message["message"]["content"]))

    async def end_input(self) -> None:
        if self._turn:
            await self._turn
        self._out.put_nowait(None)

    async def close(self) -> None:
        if self._turn:
            self._turn.cancel()
        self._out.put_nowait(None)

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        while (message := await self._out.get()) is not None:
            yield message

    async def _work(self, prompt: str) -> None:
        answer = await self._event("UserPromptSubmit", prompt=prompt)
        stopped = answer.get("decision") == "block"
        for number in range(0 if stopped else self._steps):
            await asyncio.sleep(self._delay_s)
            tool = "" if number == self._steps - 1 else f"toolu_{uuid.uuid4().hex}"
            self._step(tool)
            if tool:
                calls = [{"tool_use_id": tool, "tool_name": "Bash"}]
                answer = await self._event("PostToolBatch", tool_calls=calls)
                stopped = answer.get("continue") is False
            if stopped:
                break
        if not stopped:
            await self._event("Stop")
        self._out.put_nowait(self._result("hook_stopped" if stopped else "completed"))

    def _step(self, tool: str) -> None:
        self.made += 1
        usage: dict[str, Any] = {"input_tokens": 200, "output_tokens": 200}
        text = {"type": "text", "text": "done"}
        block = {"type": "tool_use", "id": tool, "name": "Bash", "input": {}} if tool else text
        message: dict[str, Any] = {
            "id": f"msg_{uuid.uuid4().hex}",
            "model": MODEL,
            "role": "assistant",
        }
        line = {
            "type": "assistant",
            "uuid": str(uuid.uuid4()),
            "timestamp": datetime.now(UTC).isoformat(),
            "sessionId": self.session_id,
            "message": {**message, "content": [block], "usage": usage},
        }
        with open(self._transcript, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        told = {**message, "content": [block], "usage": {**usage, "output_tokens": 1}}
        self._out.put_nowait({"type": "assistant", "message": told, "session_id": self.session_id})

    async def _event(self, name: str, **more: Any) -> dict[str, Any]:
        payload = {
            "hook_event_name": name,
            "session_id": self.session_id,
            "transcript_path": self._transcript,
            "cwd": self._project,
            **more,
        }
        answer: dict[str, Any] = {}
        for matcher in self._hooks.get(name, []):
            for callback in matcher["hookCallbackIds"]:
                request_id = uuid.uuid4().hex
                future = asyncio.get_running_loop().create_future()
                self._answers[request_id] = future
                request = {"subtype": "hook_callback", "callback_id": callback, "input": payload}
                self._out.put_nowait(
                    {"type": "control_request", "request_id": request_id, "request": request}
                )
                answer |= await future
        return answer

    def _result(self, reason: str) -> dict[str, Any]:
        model = {
            "inputTokens": 200 * self.made,
            "outputTokens": 200 * self.made,
            "cacheReadInputTokens": 0,
            "cacheCreationInputTokens": 0,
            "webSearchRequests": 0,
            "costUSD": self.made * STEP_USD,
        }
        return {
            "type": "result",
            "subtype": "success",
            "duration_ms": 1,
            "duration_api_ms": 1,
            "is_error": False,
            "num_turns": self.made,
            "session_id": self.session_id,
            "total_cost_usd": self.made * STEP_USD,
            "terminal_reason": reason,
            "result": "done",
            "modelUsage": {MODEL: model},
        }
