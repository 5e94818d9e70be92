"""One process of a service: conversations of many users at once, against the played client.

Arguments: project, config folder, state folder, number, how many conversations, steps of each, the
steps a user has, and when they stop. Prints a line per conversation: user, session, steps made,
stopped or not.
"""

import asyncio
import json
import os
import sys

from claude_agent_sdk import ClaudeAgentOptions

from budget.billing import BillingLedger
from budget.sdk import BudgetExceeded
from tests.recorded import Played

USERS = 10


async def main() -> None:
    project, config, state, number, count, steps, limit, stop = sys.argv[1:]
    os.environ |= {"CLAUDE_CONFIG_DIR": config, "BUDGET_HOME": state}
    day = {"per": "day", "steps": int(limit), "stop": stop}
    billing = BillingLedger(project, budgets={"day": day})

    async def conversation(index: int) -> None:
        user = f"user-{(int(number) * int(count) + index) % USERS}"
        client = Played(config, project, int(steps), delay_s=0.02)
        stopped = False
        try:
            options = ClaudeAgentOptions(cwd=project)
            async for _ in billing.query(user, prompt="count", options=options, transport=client):
                pass
        except BudgetExceeded:
            stopped = True
        print(json.dumps([user, client.session_id, client.made, stopped]), flush=True)

    await asyncio.gather(*(conversation(index) for index in range(int(count))))


if __name__ == "__main__":
    asyncio.run(main())
