"""Runs several command lines in one other process, so that torch is imported once; each has its own standard output and error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_verbs(home: Path, scratch: Path, lines: Mapping[str, Sequence[str]]) -> dict[str, tuple[bytes, bytes]]:
    """Returns name to what each command line wrote to standard output and error; all must end with exit code 0.

    Args:
        home: The owner's folder.
        scratch: An empty folder for what is printed.
        lines: Name to words, in order.
    """
    environment = {**os.environ, "DOMAINCLIP_HOME": str(home), "NO_ALBUMENTATIONS_UPDATE": "1"}
    jobs = json.dumps([[str(scratch), *map(str, words)] for words in lines.values()])
    done = subprocess.run([sys.executable, __file__], input=jobs.encode(), capture_output=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    said = {}
    for number, (name, words) in enumerate(lines.items()):
        said[name] = ((scratch / f"{number}.out").read_bytes(), (scratch / f"{number}.err").read_bytes())
        assert (scratch / f"{number}.code").read_text() == "0", (words, said[name])
    return said


def _main() -> None:
    from domainclip.cli.main import main

    real = os.dup(1)
    for number, (folder, *words) in enumerate(json.load(sys.stdin)):
        for descriptor, kind in ((1, "out"), (2, "err")):
            file = os.open(Path(folder, f"{number}.{kind}"), os.O_WRONLY | os.O_CREAT)
            os.dup2(file, descriptor)
            os.close(file)
        try:
            main(words)
        except SystemExit as end:
            Path(folder, f"{number}.code").write_text(str(end.code or 0))
        sys.stdout.flush()
        sys.stderr.flush()
    os.dup2(real, 1)


if __name__ == "__main__":
    _main()
