"""A generated history of Claude Code transcripts, in the proportions of real ones.

    python -m bench.history FOLDER --megabytes 300

Writes `FOLDER/projects/<slug>/<session>.jsonl` with subagents beside them. Of the bytes, most are
tool results and attachments; a step is written as two lines with one message id. Seeded: the same
arguments give the same bytes.
"""

import argparse
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-sonnet-5", "claude-haiku-5-5")
_START = datetime(2025, 11, 23, 8, tzinfo=UTC)


def write_history(folder: Path, megabytes: float, seed: int = 1) -> int:
    """Fills the folder; returns the number of steps."""
    chance = random.Random(seed)
    left, session, steps = int(megabytes * 1_000_000), 0, 0
    words = "".join(chance.choices('abcdefghijklmnopqrstuvwxyz    \\n"{}:,', k=200_000))
    while left > 0:
        session += 1
        project = f"/home/dev/project-{session % 7}"
        path = folder / "projects" / project.replace("/", "-") / f"session-{session:05d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        at = _START + timedelta(hours=session * 3 % (364 * 24))
        size = min(left, chance.randint(300_000, 6_000_000))
        left -= size
        _, made = _session(path, size, at, project, words, chance)
        steps += made
        if session % 4 == 0:
            agent = path.with_suffix("") / "subagents" / f"agent-{session}.jsonl"
            agent.parent.mkdir(parents=True)
            size = min(max(left, 0), 200_000)
            left -= size
            steps += _session(agent, size, at, project, words, chance)[1]
    return steps


def _session(
    path: Path, size: int, at: datetime, project: str, words: str, chance: random.Random
) -> tuple[int, int]:
    model = chance.choice(MODELS)
    written = steps = 0
    context = 20_000
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            steps += 1
            at += timedelta(seconds=chance.randint(5, 90))
            stamp = at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            common = {
                "sessionId": path.stem,
                "cwd": project,
                "gitBranch": "main",
                "version": "2.1.330",
                "timestamp": stamp,
            }
            added = chance.randint(200, 4_000)
            context += added
            usage = {
                "input_tokens": chance.randint(2, 12),
                "cache_creation_input_tokens": added,
                "cache_read_input_tokens": context - added,
                "output_tokens": chance.randint(50, 1_500),
                "server_tool_use": {"web_search_requests": 0},
                "service_tier": "standard",
                "cache_creation": {
                    "ephemeral_1h_input_tokens": added,
                    "ephemeral_5m_input_tokens": 0,
                },
                "inference_geo": "",
                "iterations": [],
                "speed": "standard",
            }
            blocks = (
                {"type": "text", "text": _words(words, chance, 400)},
                {
                    "type": "tool_use",
                    "id": f"toolu_{path.stem}_{steps}",
                    "name": "Bash",
                    "input": {"command": _words(words, chance, 300)},
                },
            )
            lines: list[dict[str, object]] = [
                {
                    "type": "user",
                    "promptId": f"prompt-{steps // 10}",
                    "message": {"role": "user", "content": _words(words, chance, 300)},
                    **common,
                }
            ]
            lines += [
                {
                    "type": "assistant",
                    "requestedModel": model,
                    "message": {
                        "id": f"msg_{path.stem}_{steps}",
                        "type": "message",
                        "role": "assistant",
                        "model": model,
                        "content": [block],
                        "usage": usage,
                    },
                    **common,
                }
                for block in blocks
            ]
            result = _words(words, chance, chance.randint(500, 30_000))
            lines.append({"type": "user", "toolUseResult": {"stdout": result}, **common})
            lines.append(
                {"type": "attachment", "attachment": {"content": result[:4_000]}, **common}
            )
            for line in lines:
                written += file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return written, steps


def _words(words: str, chance: random.Random, length: int) -> str:
    start = chance.randrange(len(words) - length)
    return words[start : start + length]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    steps = write_history(options.folder, options.megabytes, options.seed)
    print(f"{steps} steps")


if __name__ == "__main__":
    main()
