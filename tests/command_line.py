"""The command line in tests: called in this process or in a real shell, on a small table, and its one line of error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from wellfit.cli import main

# Short trainings: these tests look at the shell, not at the science.
BRIEF = ["--network", "4", "--epochs", "3", "--seeds", "1", "--folds", "2", "--cocktails", "none; l2=0.01"]
ROWS = 40


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def shell(*args: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess:
    code = "from wellfit.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | variables,
    )


def table(path: Path, header: str = "a,b,died", rows: int = ROWS) -> Path:
    lines = [f"{i % 7},{(i * 5) % 11},{'yes' if (i * 5) % 11 > 5 else 'no'}" for i in range(rows)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def one_line(result: Result | subprocess.CompletedProcess) -> str:
    """The error: exit code 2, exactly one line, no traceback, nothing on stdout."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == 2, (code, result.stdout, result.stderr, getattr(result, "exception", None))
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("Warning: ", "Compiling"))]
    assert len(lines) == 1, result.stderr
    assert result.stderr.endswith("\n")
    return lines[0].removeprefix("Error: ")
