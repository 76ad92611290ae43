"""What is sent to a process that looks at a backbone: it loads torch there, and not here."""

from frostline.environment import importing
from frostline.screen.cells import Parcel


def work(parcel: Parcel) -> dict[str, str]:
    with importing():  # torch
        from frostline.screen.work import look
    return look(parcel)
