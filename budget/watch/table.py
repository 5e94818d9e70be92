"""Tables that fit: columns that matter less give way, cells keep to their width. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

Cell = tuple[str, str]
"""A text and the style it is shown in."""

Part = str | Cell
"""A piece of a line; its text is never markup."""


class Column(NamedTuple):
    key: str
    title: str
    width: int
    right: bool = False
    weight: int = 0
    """Columns with a higher one give way first; 0 never does."""


class Row(NamedTuple):
    key: str
    cells: dict[str, Cell]
    """By the keys of columns."""


def fitted(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit, the first of them as wide as the rest lets it be."""
    kept = list(columns)
    while sum(each.width + 1 for each in kept) - 1 > width:
        least = max(kept, key=lambda each: each.weight)
        if not least.weight:
            break
        kept.remove(least)
    spare = width - (sum(each.width + 1 for each in kept) - 1)
    # The first one holds names: some of what is left over goes to it.
    kept[0] = kept[0]._replace(width=max(4, kept[0].width + min(spare, kept[0].width)))
    return kept


def cell(text: str, column: Column) -> str:
    """A text in the width of its column."""
    size = cell_len(text)
    if size > column.width:
        return set_cell_size(text, column.width - 1) + "…"
    return " " * (column.width - size) + text if column.right else set_cell_size(text, column.width)


def bar(fraction: float, held: float, marks: Sequence[float], width: int) -> tuple[str, str, str]:
    """What is spent, what is held for steps under way, and the rest, where marks still show."""
    filled = min(width, int(fraction * width))
    taken = min(width, int((fraction + held) * width)) - filled
    at = {min(width - 1, int(mark * width)) for mark in marks if 0 < mark < 1}
    rest = "".join("┊" if number in at else "░" for number in range(filled + taken, width))
    return "█" * filled, "▒" * taken, rest
