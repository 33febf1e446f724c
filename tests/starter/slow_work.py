"""Work for the processes of test_processes: notes who did it, then takes long."""

import os
import sys
import time
from pathlib import Path

from domainclip.spread_work import spread


def note(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


if __name__ == "__main__":
    spread(note, [sys.argv[1]] * 4, 2, "notes", None)
