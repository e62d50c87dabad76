"""100 inputs of each fuzz target; ``make fuzz`` tries 100,000 of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")


def test_no_input_crashes() -> None:
    """In a separate process, because the targets patch the scripts."""
    ended = subprocess.run([sys.executable, RUN, "--inputs", "100", "--workers", "1"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line.rsplit(maxsplit=5) for line in ended.stdout.splitlines()[2:]]
    assert [row[1:4:2] for row in rows] == [["100", "0"]] * 20
    assert all(int(row[2]) > 0 for row in rows), "a target that accepts nothing tries nothing"
