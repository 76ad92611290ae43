"""Frostline: which pretrained architecture, how deep frozen, for how long?"""

from frostline.environment import settle

settle()
