"""Frostline: which pretrained architecture, how deep frozen, for how long?"""
