"""The words of the field as plain values: what the stages hand to each other.

Money is an integer number of picodollars (`PICO` = one US dollar). Prices go down to 0.01 USD per
million tokens and carry factors such as 1.1, so a step can cost a fraction of a micro-dollar;
picodollars keep every product of a rate, a factor and a token count whole, and sums never drift.
Times are integer milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from operator import add, sub

from budget.lean import Any, NamedTuple

PICO = 10**12

# The largest plausible counts of one step. A larger one is a damaged line, not a step; and sums of
# what they could cost stay within 64 bits.
MAX_TOKENS = 10**8
MAX_SEARCHES = 10**4

# Tools whose call starts another agent.
AGENT_TOOLS = ("Agent", "Task", "Workflow")

COUNTED_UNITS = (
    "tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "steps",
)
PERCENT_UNITS = ("five_hour_percent", "seven_day_percent")
"""How much of a subscription plan's own windows is used, as the client tells it."""
LEVEL_UNITS = ("context_tokens", *PERCENT_UNITS)
"""What is not added up over a window: the last known level counts."""
UNITS = ("usd", *COUNTED_UNITS, *LEVEL_UNITS)
"""What a limit can be in."""


class Usage(NamedTuple):
    """What one API response used. Every field is a count, zero or more."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Tokens the model read: the size of the context at this step."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )

    def highest(self, other: Usage) -> Usage:
        """The field-wise maximum: several lines of one step carry one usage, some a placeholder."""
        return Usage(*map(max, self, other))


class Step(NamedTuple):
    """One API response, as the transcript tells it. `message_id` is its identity everywhere."""

    message_id: str
    session_id: str
    agent: str
    """`main`, or the type of the subagent."""
    agent_id: str
    """Empty for the main thread."""
    prompt_id: str
    branch: str
    model: str
    at_ms: int
    usage: Usage
    speed: str = ""
    geo: str = ""
    tier: str = ""
    responses: int = 1
    """0 for what an advisor model used within another step: it costs, and is no step of its own."""
    parts: tuple[Usage, ...] = ()
    """The iterations of the step, where there are several: a long-prompt rate holds for each."""
    stated_picousd: int | None = None
    """What an old client (1.x) wrote that the step cost."""
    copied_into: str = ""
    """The session whose transcript repeats this step of another session (a fork); else empty."""
    user: str = ""
    """Whose session it is."""

    def joined(self, other: Step) -> Step:
        """This step with the higher usage of both: lines of one step differ only in that."""
        usage = self.usage.highest(other.usage)
        return self._replace(
            usage=usage,
            speed=self.speed or other.speed,
            geo=self.geo or other.geo,
            tier=self.tier or other.tier,
            parts=self.parts if usage == self.usage else other.parts * (usage == other.usage),
            stated_picousd=max((self.stated_picousd, other.stated_picousd), key=lambda x: x or 0),
        )


class Price(NamedTuple):
    """What a step costs, and by which table."""

    picousd: int | None
    """None: the model is in no table (the step is unpriced)."""
    bound_picousd: int
    """For an unpriced step, its cost at the dearest known rates; 0 for a priced one."""
    listed_picousd: int
    """Its cost at list prices, as the client counts: without what configs say of prices."""
    version: str


class Spend(NamedTuple):
    """Sums over a window. `picousd` holds what is attributed to priced steps only."""

    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    picousd: int = 0
    bound_picousd: int = 0
    listed_picousd: int = 0
    """Entries at list prices, as the client counts them."""
    unattributed_picousd: int = 0
    unpriced_steps: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of every kind."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def counted_picousd(self) -> int:
        """What budgets count: attributed, unattributed, and unpriced steps at their bound."""
        return self.picousd + self.bound_picousd + self.unattributed_picousd

    def plus(self, other: Spend) -> Spend:
        return Spend._make(map(add, self, other))

    def minus(self, other: Spend) -> Spend:
        return Spend._make(map(sub, self, other))


class ClientTotal(NamedTuple):
    """The client's own total for one session, as one source tells it.

    A sensor report covers one client process, from `since_ms` and `base_picousd` on. The other
    sources tell the whole session's total: `since_ms` is 0 and `base_picousd` what it inherited.
    """

    session_id: str
    source: str
    """`sensor:<process>`, `transcript` or `status line`."""
    since_ms: int
    base_picousd: int
    total_picousd: int


class Compaction(NamedTuple):
    """A session's context was made smaller."""

    session_id: str
    at_ms: int
    before_tokens: int
    after_tokens: int
    automatic: bool


class Window(NamedTuple):
    """A stretch of time, or one session, over which a budget counts."""

    start_ms: int
    end_ms: int | None
    """Exclusive; None for a window without an end."""
    session_id: str | None = None
    resets_at_ms: int | None = None

    @property
    def key(self) -> str:
        """Names the window for what is said once in it."""
        return f"session:{self.session_id}" if self.session_id is not None else str(self.start_ms)


class Source(NamedTuple):
    """Where a rule stands."""

    layer: str
    file: str
    key: str
    shown: str
    """The file as people are told of it: `.claude/budget.toml`."""


class Filter(NamedTuple):
    """Which steps a budget counts: those that match one pattern of each kind that is given.

    Patterns are as in a shell: `*`, `?`, `[abc]`. What the client counted beyond the steps has no
    model, agent or branch: a filter never matches it.
    """

    models: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    user: str = ""
    """Whose steps; empty for everybody's."""


class Budget(NamedTuple):
    """One limit of one budget. A budget with limits in two units is two of these."""

    name: str
    per: str
    unit: str
    limit: int
    """Picodollars for `usd`, whole percent, or a count."""
    warn_at: tuple[float, ...]
    on_exceed: str
    message: str
    source: Source
    timezone: str = ""
    """Where its days begin: an IANA name, or empty for the system's."""
    week_starts: str = "monday"
    scope: str = "project"
    """`project`, `user` (all projects of the person on this machine) or `team`."""
    stop: str = "before"
    models: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()

    @property
    def filtered(self) -> bool:
        """Whether it counts some steps only."""
        return bool(self.models or self.agents or self.branches)


class Policy(NamedTuple):
    """What holds in one project, from all layers."""

    budgets: tuple[Budget, ...] = ()
    timezone: str = ""
    """Where days begin in reports: an IANA name, or empty for the system's."""
    on_error: str = "allow"
    advise_context_tokens: int = 100_000
    """From which size of the context on to advise; 0: never."""
    advise_min_saving: int = PICO // 10
    """What following advice must save, in picodollars."""
    advise_pays_back_steps: int = 20
    """Within how many further steps."""
    compact: str = "advise"
    """`auto`: compact an interactive session between two turns, when it pays."""
    focus: str = ""
    prices: tuple[dict[str, Any], ...] = ()
    """What the configs say of prices, the lowest authority first (see `pricing.corrected`)."""
    problems: tuple[str, ...] = ()
    """What is wrong with the configs; the last valid version of each layer is in force."""
    max_grant: int | None = None
    """The largest grant that policies allow, in picodollars; 0 forbids grants; None: no rule."""
    max_grant_source: str = ""
    """Where that rule stands, for people."""
    notify: tuple[str, ...] = ()
    """The person's command for warnings and stops; empty: none."""
    statusline: str = ""
    """The person's own format of the status line; empty: the usual one."""
    person: str = ""
    """Whose work it is; in a session, whose it was when it began."""
    price_print: str = ""
    """Tells which downloaded price table holds; in a session, the one that held at its start."""
    held: tuple[str, ...] = ()
    """What the configs loosened since the session began: it waits for the next session."""


def fits(spent: int, reserved: int, expected: int, limit: int) -> bool:
    """Whether a step may be made: `reserved` is what the other running agents hold."""
    return spent < limit and spent + reserved + expected <= limit


class Verdict(NamedTuple):
    """How one budget stands."""

    budget: Budget
    window: Window
    spent: int
    """In the unit of the budget's limit."""
    granted: int = 0
    """What grants add to the limit now."""
    note: str = ""
    """What the person should know of the figure: how old it is, what it leaves out."""
    known: bool = True
    """Whether the figure is fresh enough to act on."""
    reserved: int = 0
    """What running agents hold for their next steps; at a step, the others'."""
    expected: int = 0
    """What the step that is to be made next is expected to use; 0 when that does not matter."""
    concerned: bool = True
    """Whether it counts the steps of the agent at work."""

    @property
    def limit(self) -> int:
        """What holds now: the budget's limit and what was granted on top of it."""
        return self.budget.limit + self.granted

    @property
    def exceeded(self) -> bool:
        return self.known and self.spent >= self.limit

    @property
    def fits(self) -> bool:
        """Whether the step that is to be made next fits into what is left."""
        return not self.expected or fits(self.spent, self.reserved, self.expected, self.limit)

    @property
    def stops(self) -> bool:
        """Whether the agent at work may make no further step."""
        if self.budget.on_exceed == "advise" or not self.concerned or not self.known:
            return False
        return self.exceeded or not self.fits

    @property
    def left(self) -> int:
        """What is neither spent nor held for steps under way."""
        return max(0, self.limit - self.spent - self.reserved)

    @property
    def fraction(self) -> float:
        return self.spent / self.limit if self.limit else 1.0

    @property
    def passed_mark(self) -> float | None:
        """The highest `warn_at` mark that was reached."""
        return max((mark for mark in self.budget.warn_at if self.fraction >= mark), default=None)

    @property
    def state(self) -> str:
        if self.exceeded:
            return "exceeded"
        return "ok" if self.passed_mark is None else "warned"
