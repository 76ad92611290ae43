"""Heads for detection: see `frostline.models.heads.base.DetectionHead`."""
