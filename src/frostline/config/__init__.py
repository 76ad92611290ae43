"""Configuration: `conf/` and overrides become one resolved, checked mapping per run, and its parts are built from it.

The command line, the plan stage and the tests all come through `compose`, so a run is the same run wherever it starts.
"""

from frostline.config.build import build
from frostline.config.compose import compose
from frostline.config.files import Config, conf_dir, conf_files, flat, read, to_yaml

__all__ = ["Config", "build", "compose", "conf_dir", "conf_files", "flat", "read", "to_yaml"]
