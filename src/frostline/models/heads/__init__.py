"""Heads: what a task puts on a backbone. What each of them gives and needs: see `base`."""
