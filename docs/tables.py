"""Makes the tables of `docs/configuration.md` and the schemas from the table of keys.

python docs/tables.py            writes them
python docs/tables.py --check    exits 1 when the committed ones are others
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from budget import keys, schema  # noqa: E402 - needs the path

PAGE = ROOT / "docs" / "configuration.md"
TABLES: dict[str, Mapping[str, keys.Key]] = {
    "file": keys.FILE_KEYS,
    "budget": keys.BUDGET_KEYS,
    "advice": keys.ADVICE_KEYS,
    "notify": keys.NOTIFY_KEYS,
    "statusline": keys.STATUSLINE_KEYS,
    "prices": keys.PRICES_KEYS,
    "model": keys.MODEL_KEYS,
    "policy": keys.POLICY_KEYS,
    "rules": keys.RULES_KEYS,
    "group": keys.GROUP_KEYS,
}


def table(rows: Mapping[str, keys.Key]) -> str:
    lines = ["| key | values | default |", "|---|---|---|"]
    lines += [f"| `{name}` | {key.values} | {key.default} |" for name, key in rows.items()]
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with every table between its marks made anew."""
    for name, rows in TABLES.items():
        marks = f"<!-- table: {name} -->\n", "<!-- end -->"
        pattern = re.escape(marks[0]) + ".*?" + re.escape(marks[1])
        made = f"{marks[0]}{table(rows)}\n{marks[1]}"
        text, found = re.subn(pattern, lambda _, made=made: made, text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{PAGE}: expected the table {name!r} once, found it {found} times.")
    return text


def made() -> dict[Path, str]:
    """Every generated file and its text."""
    files = {PAGE: page(PAGE.read_text(encoding="utf-8"))}
    for policy, name in ((False, schema.FILE_NAME), (True, schema.POLICY_FILE_NAME)):
        text = json.dumps(schema.schema(policy), indent=2) + "\n"
        files[ROOT / "budget" / name] = text
    return files


def main() -> None:
    stale = [
        path
        for path, text in made().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(made()[path], encoding="utf-8")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
