"""The real Claude Code client against a loopback stub of the Messages API: no key, no network.

``stub`` answers the client, ``client`` runs it headless in a throw-away home, ``terminal`` drives
its screen.
"""
