"""Writes the tables and the plot of docs/performance.md from kept figures.

    python -m bench.page            writes them
    python -m bench.page --check    exits 1 where they say something else than the figures

The figures are those of `bench/results/full.json`, as `python -m bench --json` left them.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from bench.processes import ROOT

RESULTS = ROOT / "bench" / "results" / "full.json"
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"

Found = dict[str, Any]


def table(heads: str, rows: Iterable[Iterable[object]]) -> str:
    """Of Markdown; the first column to the left, figures to the right."""
    names = heads.split(" | ")
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *(map(str, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(found: Found) -> dict[str, str]:
    """Every table by its name."""
    made = {name: make(found) for name, make in TABLES.items()}
    return {name: text for name, text in made.items() if text}


def _machine(found: Found) -> str:
    told = found["machine"]
    return (
        f"{told['processor']}, {told['cores']} cores, {told['memory_gb']} GB, {told['system']},"
        f" Python {told['python']}, SQLite {told['sqlite']}; budget {told['budget']}"
        f" ({told['commit']}), {told['day']}. The run took {found['took_s'] / 60:.0f} min."
    )


def _warm(found: Found) -> str:
    bare = found["bare"]
    rows = [
        *(
            (f"interpreter, `{name}`", "", "", f"{bare[key + 'wall_ms']:.1f} ms", "", "", "")
            for name, key in (("-I", ""), ("-I -S", "s_"))
        ),
    ]
    shown: list[Iterable[object]] = [
        (*row[:6], f"{bare[key]:.0f} MB")
        for row, key in zip(rows, ("peak_mb", "s_peak_mb"), strict=True)
    ]
    shown += [
        (
            f"{row['transcript_mb']:,} MB",
            f"{row['entries']:,}",
            row["budgets"],
            f"{row['wall_ms']:.1f} ms",
            f"{row['ratio']:.2f} x",
            f"{row['ratio_s']:.2f} x",
            f"{row['peak_mb']:.0f} MB",
        )
        for row in found["warm"]
    ]
    return table("transcript | entries | budgets | time | / `-I` | / `-I -S` | memory", shown)


def _cold(found: Found) -> str:
    return table(
        "transcript | first hook | hooks until all is read | together",
        (
            (
                f"{row['transcript_mb']:,} MB",
                f"{row['first_ms']:,.0f} ms",
                row["hooks"],
                f"{row['all_ms']:,.0f} ms",
            )
            for row in found["cold"]
        ),
    )


def _at_once(found: Found) -> str:
    return table(
        "hooks at once | of projects | until the last has answered | hooks a second",
        (
            (row["hooks"], row["projects"], f"{row['all_ms']:,.0f} ms", f"{row['per_second']:.0f}")
            for row in found["at_once"]
        ),
    )


def _imports(found: Found) -> str:
    rows = found["imports"]
    peers = all("ccusage" in row for row in rows)
    version = rows[0].get("ccusage", "")
    heads = "history | steps | import | again | memory"
    heads += f" | ccusage {version} | its memory | ours / theirs" if peers else ""
    return table(
        heads,
        (
            (
                f"{row['megabytes']} MB, {row['shape']}",
                f"{row['steps']:,}",
                f"{row['cpu_s']:.2f} s",
                f"{row['again_cpu_s']:.2f} s",
                f"{row['peak_mb']:.0f} MB",
                *(
                    (
                        f"{row['ccusage_cpu_s']:.2f} s",
                        f"{row['ccusage_peak_mb']:.0f} MB",
                        f"{row['ratio']:.2f}",
                    )
                    if peers
                    else ()
                ),
            )
            for row in rows
        ),
    )


def _reports(found: Found) -> str:
    entries = found["reports"][0]["entries"]
    return table(
        f"over {entries:,} entries | of the project | `--all` | rows | memory",
        (
            (
                f"`budget report {row['view']}`",
                f"{row['cpu_s']:.2f} s",
                f"{row['all_cpu_s']:.2f} s",
                f"{row['rows']:,}",
                f"{row['peak_mb']:.0f} MB",
            )
            for row in found["reports"]
        ),
    )


def _line(found: Found) -> str:
    row = found["status_line"]
    return table(
        "status line over | time | / `-I` | / `-I -S` | memory",
        [
            (
                f"{row['entries']:,} entries",
                f"{row['wall_ms']:.1f} ms",
                f"{row['ratio']:.2f} x",
                f"{row['ratio_s']:.2f} x",
                f"{row['peak_mb']:.0f} MB",
            )
        ],
    )


TABLES: dict[str, Callable[[Found], str]] = {
    "machine": _machine,
    "warm hooks": _warm,
    "cold hooks": _cold,
    "hooks at once": _at_once,
    "status line": _line,
    "imports": _imports,
    "reports": _reports,
}


# -- the plot --------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, SIDE = 720, 300, 56, 44, 290
_COLOURS = {"hook": "#c2410c", "-I": "#64748b", "-I -S": "#94a3b8"}


def plot(found: Found) -> str:
    """How a warm hook's time grows with the transcript, and with the ledger."""
    warm, bare = found["warm"], found["bare"]
    of_two = [row for row in warm if row["budgets"] == 2]
    by_size = [(row["transcript_mb"], row["wall_ms"]) for row in of_two]
    by_size = by_size[: len(found["cold"])]
    by_entries = [(row["entries"], row["wall_ms"]) for row in of_two[len(found["cold"]) :]]
    by_entries.insert(0, (of_two[0]["entries"], of_two[0]["wall_ms"]))
    top = 10 * math.ceil(max(bare["wall_ms"], *(row["wall_ms"] for row in warm)) / 10 + 0.5)
    panels = [
        _panel(LEFT, "transcript in MB", by_size, bare, top),
        _panel(LEFT + SIDE + 64, "entries in the ledger", by_entries, bare, top),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        "<title>Time of a warm hook, by transcript and by ledger</title>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        '<text x="16" y="22" font-size="14">Milliseconds of a warm hook, and of the bare'
        " interpreter with json and sqlite3</text>\n" + "\n".join(panels) + "\n</svg>\n"
    )


def _panel(left: int, title: str, points: list[tuple[float, float]], bare: Found, top: int) -> str:
    bottom, high = HEIGHT - 52, HEIGHT - 52 - TOP
    low, last = (math.log10(max(1, point[0])) for point in (points[0], points[-1]))

    def x(value: float) -> float:
        return left + SIDE * (math.log10(max(1, value)) - low) / max(1e-9, last - low)

    def y(value: float) -> float:
        return bottom - high * value / top

    lines = [f'<text x="{left + SIDE / 2}" y="{HEIGHT - 12}" text-anchor="middle">{title}</text>']
    lines += [
        f'<line x1="{left}" x2="{left + SIDE}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
        ' stroke="#e2e8f0"/>'
        f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>'
        for tick in range(0, top + 1, 10)
    ]
    for name, key in (("-I", "wall_ms"), ("-I -S", "s_wall_ms")):
        at = y(bare[key])
        lines.append(
            f'<line x1="{left}" x2="{left + SIDE}" y1="{at:.1f}" y2="{at:.1f}"'
            f' stroke="{_COLOURS[name]}" stroke-dasharray="5 4"/>'
            f'<text x="{left + SIDE - 2}" y="{at + 14:.1f}" text-anchor="end"'
            f' fill="{_COLOURS[name]}">python3 {name}</text>'
        )
    path = " ".join(f"{x(size):.1f},{y(ms):.1f}" for size, ms in points)
    lines.append(
        f'<polyline points="{path}" fill="none" stroke="{_COLOURS["hook"]}" stroke-width="2"/>'
    )
    for size, ms in points:
        lines.append(
            f'<circle cx="{x(size):.1f}" cy="{y(ms):.1f}" r="3.5" fill="{_COLOURS["hook"]}"/>'
            f'<text x="{x(size):.1f}" y="{bottom + 18}" text-anchor="middle">{_short(size)}</text>'
        )
    return "\n".join(lines)


def _short(number: float) -> str:
    """Without what follows the first digits: 20, 10k, 1M."""
    if number >= 10**6:
        return f"{number // 10**6:.0f}M"
    return f"{number // 1000:.0f}k" if number >= 10**4 else f"{number:,.0f}"


# -- the page --------------------------------------------------------------------------------------


def page(text: str, found: Found) -> str:
    """The page with every table between its marks made anew."""
    for name, made in tables(found).items():
        start, end = f"<!-- {name}: written by bench/page.py -->\n", "<!-- end -->"
        if text.count(start) != 1:
            raise SystemExit(f"{PAGE}: expected {name!r} once: {start}")
        before, rest = text.split(start)
        text = f"{before}{start}\n{made}\n\n{end}{rest.partition(end)[2]}"
    return text


def readme(text: str, found: Found) -> str:
    """The README with the ratios of the slowest of the hooks under two budgets."""
    hooks = [row for row in found["warm"] if row["budgets"] == 2]
    for key, before, after in (
        ("ratio", "A hook takes ", " x the time of"),
        ("ratio_s", "and ", " x that of the same with `-S`"),
    ):
        told = f"{before}{max(row[key] for row in hooks):.1f}{after}"
        text = re.sub(f"{before}[0-9.]+{re.escape(after)}", told, text)
    return text


def main() -> None:
    found = json.loads(RESULTS.read_text())
    files = {
        PAGE: page(PAGE.read_text(encoding="utf-8"), found),
        README: readme(README.read_text(encoding="utf-8"), found),
        PLOT: plot(found),
    }
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} says something else than {RESULTS.relative_to(ROOT)}")
        sys.exit(bool(stale))
    for path in stale:
        path.write_text(files[path], encoding="utf-8")


if __name__ == "__main__":
    main()
