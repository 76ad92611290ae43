"""From a study's answer to a model in use: which run, its folder with a card, and a place in a registry."""
