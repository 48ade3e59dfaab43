"""What the processes of one service tell each other: which bundle was chosen last.

Knows: the folder that they share, the process above them, which replaces them one by one when it gets SIGHUP.
Does not know: bundles.
"""

import os
import signal
from pathlib import Path

CHOSEN = "bundle"


def chosen(shared: Path) -> Path | None:
    """The folder of the bundle that was chosen last, if one was since the service began."""
    try:
        return Path((shared / CHOSEN).read_text(encoding="utf-8"))
    except OSError:
        return None


def tell(shared: Path, folder: Path) -> None:
    """Have all processes begin again with this bundle, each when the one before it is ready."""
    written = shared / f"{CHOSEN}.{os.getpid()}"
    written.write_text(str(folder), encoding="utf-8")
    written.replace(shared / CHOSEN)
    os.kill(os.getppid(), signal.SIGHUP)
