"""Started by the client for each event: finds the package beside it and calls budget.hook.

The client starts it as a module, with `-c`: a missing file is then an error that the client passes
over, while `python3 FILE` would end with 2, which blocks. It has to be understood by any Python 3,
so that an old one can be told apart from a broken install.
"""

import gc
import os
import sys


def run():
    if sys.version_info < (3, 11):
        import json

        message = (
            "budget: nothing is counted or stopped. It needs Python 3.11 or newer, and `python3`"
            " is %d.%d. Install a newer one, or install codebudget with it and run"
            " `budget install`." % sys.version_info[:2]
        )
        try:
            event = json.loads(sys.stdin.read()).get("hook_event_name")
        except (ValueError, AttributeError, RuntimeError):
            event = None
        if event == "SessionStart":
            print(json.dumps({"systemMessage": message}))
        return
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # What is loaded stays: looking for garbage in it took 1 ms of 35.
    gc.disable()
    from budget.hook import main

    gc.freeze()
    gc.enable()
    main(sys.argv[2:])


run()
