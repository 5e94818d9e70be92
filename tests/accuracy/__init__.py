"""Awkward transcripts whose true cost is known."""
