"""Budgets for Claude Code: every step counted once, spending stopped at the limit."""

__version__ = "0.1.0"
