"""Advice in words: what happened, the numbers in dollars, one action. Pure."""

from budget.advice import Advice
from budget.messages import compact_command, money
from budget.model import PICO, Policy
from budget.windows import local_time, zone


def advice(given: Advice, policy: Policy) -> str:
    """For the person; empty when there is nothing worth doing."""
    if given.kind == "compact":
        return _compact(given, policy)
    return _clear(given, policy) if given.kind == "clear" else ""


def _compact(given: Advice, policy: Policy) -> str:
    text = (
        f"The context holds {given.context_tokens:,} tokens: reading them costs"
        f" {about(given.read_picousd)} in every step. {compact_command(policy)}"
        f" costs about {about(given.costs_picousd)} once, leaves about {given.after_tokens:,},"
        f" saves {about(given.saved_per_step_picousd)} per step"
        f" and has come in after {given.pays_back_steps} steps."
    )
    if given.expires_at_ms is not None:
        text += (
            f" The cache holds until {_clock(given.expires_at_ms, policy)}; after that the next"
            f" prompt pays {about(given.write_picousd)} for the context."
        )
    return text


def _clear(given: Advice, policy: Policy) -> str:
    assert given.expires_at_ms is not None  # only a cache can expire
    return (
        f"The cache of this session's {given.context_tokens:,} tokens expired at"
        f" {_clock(given.expires_at_ms, policy)}: the next prompt pays"
        f" {about(given.write_picousd)} for them instead of {about(given.read_picousd)}."
        f" If the new work does not need them: /clear saves"
        f" {about(given.saved_at_once_picousd)} at once and"
        f" {about(given.saved_per_step_picousd)} per step."
    )


def compacted(before_tokens: int, after_tokens: int, saved_picousd: int) -> str:
    """What a compaction has led to so far."""
    what = f"Compacted from {before_tokens:,} to {after_tokens:,} tokens"
    if saved_picousd < 0:
        return f"{what}: {about(-saved_picousd)} of its cost has yet to come in."
    return f"{what}: {about(saved_picousd)} saved so far."


def about(picousd: int) -> str:
    """Dollars of an estimate, rounded: cents from 10 cents on, else hundredths of a cent."""
    unit = PICO // 100 if picousd >= PICO // 10 else PICO // 10_000
    rounded = (picousd + unit // 2) // unit * unit
    return money(rounded, 2 if unit == PICO // 100 else 4)


def _clock(at_ms: int, policy: Policy) -> str:
    return f"{local_time(at_ms, zone(policy.timezone)):%H:%M}"
