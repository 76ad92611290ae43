"""What `spread` measures: `frostline` with these arguments, until after one step; writes what this process then holds.

python held_child.py FILE train KEY=VALUE ...: FILE.RANK gets the bytes of parameters and of their optimizer's state.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning.loops.optimization.automatic import _AutomaticOptimization

from frostline.cli import main
from frostline.freezing.sharded import bytes_here
from frostline.shares import rank_of_world, told_by_all

step = _AutomaticOptimization.run


def run(self: Any, *args: Any, **kwargs: Any) -> None:
    step(self, *args, **kwargs)
    task, (optimizer,) = self.trainer.lightning_module, self.trainer.optimizers
    state = (value for values in optimizer.state.values() for value in values.values())
    held = {"parameters": bytes_here(task.parameters()), "state": bytes_here(state)}
    Path(f"{sys.argv[1]}.{rank_of_world()[0]}").write_text(json.dumps(held))
    told_by_all(None)
    time.sleep(1)  # until the others have heard of it, too
    os._exit(0)


_AutomaticOptimization.run = run  # type: ignore[method-assign, assignment]
sys.exit(main(sys.argv[2:]))
