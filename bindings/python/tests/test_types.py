"""The types that editors and checkers see are those of the code."""

import subprocess
import sys

import pytest

pytest.importorskip("mypy")

PROGRAM = """
import logging
import logdrive
from logdrive.structlog import LoggerFactory

with logdrive.Client("receivers://h/t", linger="5ms", ring_bytes_max=1) as client:
    accepted: bool = client.info("x", a=1)
    stream: logdrive.Logger = client.stream("a")
    stream.log(logging.INFO, "x")
    handler: logging.Handler = logdrive.Handler(client, "INFO", location=True)
    LoggerFactory(client)
    {wrong}
"""


def mypy(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True)


def test_stubs_and_modules_agree(tmp_path):
    checked = mypy("mypy.stubtest", "logdrive", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("wrong", "is_accepted"),
    [("", True), ("client.info()", False), ("client.log(None, 'x')", False), ("logdrive.Client(1)", False)],
)
def test_programs_are_checked_strictly(tmp_path, wrong, is_accepted):
    (tmp_path / "program.py").write_text(PROGRAM.format(wrong=wrong))
    checked = mypy("mypy", "--strict", "--cache-dir", str(tmp_path.parent / "mypy"), "program.py", cwd=tmp_path)
    assert (checked.returncode == 0) is is_accepted, checked.stdout + checked.stderr
