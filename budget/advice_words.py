"""Advice in words: what happened, the numbers in dollars, one action. Pure."""

from __future__ import annotations

from budget.advice import Advice
from budget.lean import Protocol
from budget.messages import compact_command, duration, money
from budget.model import PICO, Policy, Verdict
from budget.windows import local_time, zone


class Burn(Protocol):
    """What is told of how fast money goes (`counsel.Burn`)."""

    @property
    def per_hour(self) -> int: ...
    @property
    def over_ms(self) -> int: ...
    @property
    def next_limit(self) -> Verdict | None: ...
    @property
    def next_limit_in_ms(self) -> int | None: ...
    @property
    def day_end(self) -> int: ...
    @property
    def month_end(self) -> int: ...
    @property
    def day_stop(self) -> Verdict | None: ...
    @property
    def month_stop(self) -> Verdict | None: ...


def advice(given: Advice, policy: Policy) -> str:
    """For the person; empty when there is nothing worth doing."""
    if given.kind == "compact":
        return _compact(given, policy)
    return _clear(given, policy) if given.kind == "clear" else ""


def _compact(given: Advice, policy: Policy) -> str:
    text = (
        f"{compact_command(policy)} saves {about(given.saved_per_step_picousd)} per step: of"
        f" {given.context_tokens:,} tokens, {about(given.read_picousd)} in every step, it leaves"
        f" about {given.after_tokens:,}. It costs about {about(given.costs_picousd)} once and pays"
        f" for itself after {given.pays_back_steps} steps."
    )
    if given.expires_at_ms is not None:
        text += (
            f" The cache holds until {_clock(given.expires_at_ms, policy)}; after that the next"
            f" prompt pays {about(given.write_picousd)}."
        )
    return text


def _clear(given: Advice, policy: Policy) -> str:
    assert given.expires_at_ms is not None  # only a cache can expire
    return (
        f"/clear saves {about(given.saved_at_once_picousd)} at once and"
        f" {about(given.saved_per_step_picousd)} per step, if the new work does not need this"
        f" session's {given.context_tokens:,} tokens: their cache expired at"
        f" {_clock(given.expires_at_ms, policy)}, so the next prompt pays"
        f" {about(given.write_picousd)} for them instead of {about(given.read_picousd)}."
    )


def compacted(before_tokens: int, after_tokens: int, cost_picousd: int, saved_picousd: int) -> str:
    """What a compaction has led to so far; `saved_picousd` is beyond what it cost."""
    what = f"The compaction from {before_tokens:,} to {after_tokens:,} tokens"
    what += f" cost about {about(cost_picousd)}"
    if saved_picousd < 0:
        return f"{what}; {about(-saved_picousd)} of that is not saved yet."
    return f"{what} and has saved {about(saved_picousd)} more than that so far."


def nothing(given: Advice, policy: Policy) -> str:
    """Why there is nothing to advise. For the person who asks."""
    context = (
        f"The context holds {given.context_tokens:,} tokens, {about(given.read_picousd)} in every"
        " step"
    )
    if given.reason == "small":
        return (
            f"Nothing to do. {context}; advice begins at {policy.advise_context_tokens:,}"
            " ([advice] context_tokens)."
        )
    return (
        f"Nothing to do: a compaction would not save {about(policy.advise_min_saving)} within"
        f" {policy.advise_pays_back_steps} steps. {context}."
    )


def burn(burning: Burn) -> str:
    """How fast money goes, in one line."""
    if not burning.per_hour:
        return "Nothing was spent in the last 10 minutes."
    return f"{rate(burning)}. {_forecast(burning)}."


def rate(burning: Burn) -> str:
    """`$5.64 an hour (last 8 min): "day" is used up in 16 min`."""
    minutes = max(1, burning.over_ms // 60_000)
    text = f"{about(burning.per_hour)} an hour (last {minutes} min)"
    if burning.next_limit is not None and burning.next_limit_in_ms is not None:
        name = burning.next_limit.budget.name
        text += f': "{name}" is used up in {duration(burning.next_limit_in_ms)}'
    return text


def _forecast(burning: Burn) -> str:
    """What day and month come to, each at its own pace so far, which the rate of now is not."""
    told: list[str] = []
    ends: list[str] = []
    for what, end, stop in (
        ("today", burning.day_end, burning.day_stop),
        ("this month", burning.month_end, burning.month_stop),
    ):
        if stop is None:
            told.append(f"{what} comes to {about(end)}" if not told else f"{what} to {about(end)}")
        else:
            limit = f'{money(stop.limit)} of "{stop.budget.name}"'
            ends.append(f"{what} ends at the {limit}" if not ends else f"{what} at the {limit}")
    pace = f"At {'their' if told[1:] else 'its'} pace so far {', '.join(told)}" if told else ""
    text = "; ".join(filter(None, (pace, ", ".join(ends))))
    return text[0].upper() + text[1:]


def about(picousd: int) -> str:
    """Dollars of an estimate, rounded: cents from 10 cents on, else hundredths of a cent."""
    unit = PICO // 100 if picousd >= PICO // 10 else PICO // 10_000
    rounded = (picousd + unit // 2) // unit * unit
    return money(rounded, 2 if unit == PICO // 100 else 4)


def _clock(at_ms: int, policy: Policy) -> str:
    return f"{local_time(at_ms, zone(policy.timezone)):%H:%M}"
