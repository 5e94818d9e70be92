"""The page as one file: its style, its programs and its data in it, and a policy that lets nothing
else in and nothing out.
"""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

_SCRIPTS = ("words", "cube", "tables", "charts", "first", "views", "sessions", "page")
# What would end the element, begin another, or be a line's end for a program.
_ESCAPES = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def page(told: dict[str, Any], served: bool = False) -> str:
    """The HTML of what `facts.collect` told. Served, it may ask its own server for news."""
    style, chart, script = _assets()
    return _filled(
        _text("page/page.html"),
        csp=policy(served),
        style=style,
        data=as_json({**told, "served": served}),
        chart=chart,
        script=script,
    )


def as_json(told: dict[str, Any]) -> str:
    """JSON in ASCII that no HTML parser takes for anything but text."""
    text = json.dumps(told, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def policy(served: bool) -> str:
    """The content security policy: the three pieces of the page by their hashes, nothing else."""
    style, chart, script = _assets()
    rules = [
        "default-src 'none'",
        f"script-src {_hash(chart)} {_hash(script)}",
        f"style-src {_hash(style)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if served:
        rules.append("connect-src 'self'")
    return "; ".join(rules)


@cache
def _assets() -> tuple[str, str, str]:
    """Style, chart library and the page's own programs."""
    chart = _text("vendor/chart.umd.min.js")
    # Where its map would be: a browser's tools would ask for it.
    chart = chart.replace("//# sourceMappingURL=chart.umd.min.js.map", "")
    own = "\n".join(_text(f"page/{name}.js") for name in _SCRIPTS)
    return _text("page/page.css"), chart, f'"use strict";\n(() => {{\n{own}\n}})();\n'


def _text(name: str) -> str:
    return files("budget.dashboard").joinpath(name).read_text(encoding="utf-8")


def _filled(template: str, **pieces: str) -> str:
    """The template with its pieces; what a piece holds is not looked at again."""
    first, *rest = template.split("{{")
    made = [first]
    for part in rest:
        name, _, after = part.partition("}}")
        made += [pieces[name], after]
    return "".join(made)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
