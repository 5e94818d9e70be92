"""Makes the pictures of the README from the real thing: `python docs/pictures.py` (needs tmux).

The real client runs on a real terminal under a budget of five cents, against a loopback stub; what
its screen shows when the budget stops it is written to docs/stop.svg.
"""

import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from tests.demo import CONFIG, USAGE  # noqa: E402
from tests.realclient.client import Home  # noqa: E402
from tests.realclient.stub import Stub, bash_loop  # noqa: E402
from tests.realclient.terminal import open_client  # noqa: E402


def stop_screen() -> str:
    """The screen after the stop and a blocked prompt, with its colours."""
    with Home(git=True) as home, Stub(bash_loop(None, USAGE)) as stub:
        home.write(".claude/budget.toml", CONFIG)
        with open_client(home, stub, plugin_dir=ROOT) as screen:
            screen.submit("count the code samples")
            screen.wait_for("hook stopped Claude", timeout=30)
            screen.submit("go on")
            screen.wait_for("This prompt was not sent")
            return screen.screen_ansi()


def svg(ansi: str, title: str) -> str:
    """The lines that hold something, as an SVG that loads nothing from anywhere."""
    lines = [line for line in ansi.splitlines() if re.sub(r"\x1b\[[0-9;]*m", "", line).strip()]
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines)))
    picture = console.export_svg(title=title)
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)


def main() -> None:
    (ROOT / "docs" / "stop.svg").write_text(svg(stop_screen(), "claude"), encoding="utf-8")


if __name__ == "__main__":
    main()
