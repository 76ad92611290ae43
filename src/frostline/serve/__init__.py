"""A model asked over HTTP: a page for people, JSON for programs."""
