"""A ledger against the transcripts that are still there: is every step booked, as it was made?"""

from collections.abc import Callable, Iterable, Iterator

from budget.errors import InputError
from budget.history import Session
from budget.ledger import Ledger
from budget.model import Step, Usage
from budget.places import places
from budget.transcript import Cursor, changed, read
from budget.typed import decoded
from budget.verify import Finding

_AT_ONCE = 5_000


def compare(
    ledger: Ledger, sessions: Iterable[Session], progress: Callable[[], None] = lambda: None
) -> tuple[list[Finding], int]:
    """What does not agree, and how many steps were looked at.

    What was written since a hook last read a file is not missing: the next one books it. An entry
    may tell of more than the transcripts here: another file of its step may be gone. Raises
    `LedgerError`.
    """
    steps: dict[str, Step] = {}
    unread: set[str] = set()
    findings: list[Finding] = []
    for session in sessions:
        cursors = ledger.cursors(session.session_id)
        for place in places(session.path, session.session_id):
            is_new = changed(place, cursors.get(place.path, Cursor()))
            try:
                for batch in read(place, Cursor(), decoded, finished=True):
                    for step in batch.steps:
                        known = steps.get(step.message_id)
                        steps[step.message_id] = known.joined(step) if known else step
                        if is_new:
                            unread.add(step.message_id)
            except (InputError, OSError) as error:
                findings.append(Finding("transcript", f"{place.path} cannot be read: {error}"))
        progress()
    for message_ids in _some(list(steps)):
        booked = ledger.booked(message_ids)
        for message_id in message_ids:
            finding = _compared(steps[message_id], booked.get(message_id), message_id in unread)
            findings += [finding] if finding else []
    return findings, len(steps)


def _some(names: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), _AT_ONCE):
        yield names[first : first + _AT_ONCE]


def _compared(told: Step, booked: Step | None, is_unread: bool) -> Finding | None:
    if booked is None:
        if is_unread:
            return None
        text = f"Step {told.message_id} of session {told.session_id} is not booked."
        return Finding("transcript", text, "entries", None, told.message_id)
    differs = [
        f"{name.replace('_', ' ')} {one} booked, {other} in the transcript"
        for name, one, other in zip(Usage._fields, booked.usage, told.usage, strict=True)
        if one < other and not is_unread
    ]
    if booked.model != told.model:
        differs.append(f"model {booked.model} booked, {told.model} in the transcript")
    if not differs:
        return None
    text = f"Step {told.message_id} of session {booked.session_id}: {'; '.join(differs)}."
    return Finding("transcript", text, "entries", None, told.message_id)
