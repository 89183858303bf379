"""What the tests share: a receiver of our own in a process, programs of the users' kind, and waiting for conditions.

BINARY names the `logdrive` command (LOGDRIVE_... would be an option). Every test has rings and spools in a directory of its own.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

import logdrive

BINARY = os.environ["BINARY"]
# The machine that runs this may be busy.
PATIENCE_SECONDS = 60.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


class Receiver:
    """`logdrive receive` with its directory."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [BINARY, "receive", "--listen", self.address, "--dir", str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), line
        self.address = line.split()[-1]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()

    def url(self, topic: str = "app-logs", **options: object) -> str:
        parameters = "".join(f"&{name}={value}" for name, value in options.items())
        return f"receivers://{self.address}/{topic}?linger=1ms{parameters}"

    def records(self, topic: str = "app-logs") -> list[dict]:
        output = subprocess.run(
            [BINARY, "cat", "--format", "json", "--topic", topic, str(self.folder)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert output.returncode == 0, output.stderr
        return [json.loads(line) for line in output.stdout.splitlines()]

    def messages(self, topic: str = "app-logs") -> list[str]:
        return [record["value"] for record in self.records(topic)]

    def drained(self, topic: str = "app-logs") -> list[str]:
        """The messages, when what dead processes left has been delivered, as the next process of the name does."""
        environment = dict(os.environ)
        folder = environment.pop("LOGDRIVE_RING_DIR")
        subprocess.run(
            [BINARY, "drain", folder, "--to", self.url()],
            env=environment,
            capture_output=True,
            timeout=2 * PATIENCE_SECONDS,
        )
        return self.messages(topic)

    def verified(self, *arguments: str) -> dict:
        """The verdict of `logdrive verify`: nothing damaged, nothing missing."""
        output = subprocess.run(
            [BINARY, "verify", "--json", *arguments, str(self.folder)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert output.returncode == 0, output.stdout + output.stderr
        verdict = json.loads(output.stdout)
        assert verdict["complete"] and verdict["missing"] == 0, verdict
        return verdict


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Rings and spools of this test alone, in memory as in life, for its children too."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="logdrive-python-", dir="/dev/shm"))
    monkeypatch.setenv("LOGDRIVE_RING_DIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def receiver(tmp_path: pathlib.Path) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path / "received")
    yield receiver
    receiver.kill()


@pytest.fixture
def client(receiver: Receiver) -> Iterator[logdrive.Client]:
    client = logdrive.Client(receiver.url())
    yield client
    client.close()


class Programs:
    """Programs as users write them, each run by an interpreter of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def write(self, source: str, name: str = "program.py") -> pathlib.Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(source))
        return path

    def start(self, source: str, *arguments: str, **keywords: object) -> subprocess.Popen:
        command = [sys.executable, str(self.write(source)), *arguments]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **keywords)

    def run(self, source: str, *arguments: str, flags: tuple[str, ...] = ()) -> str:
        """What it printed; it must end by itself, with status 0 and nothing on standard error."""
        command = [sys.executable, *flags, str(self.write(source)), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS)
        assert ended.returncode == 0, f"status {ended.returncode}: {ended.stderr}"
        assert not ended.stderr, ended.stderr
        return ended.stdout


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> Programs:
    return Programs(tmp_path)


def pytest_terminal_summary(terminalreporter) -> None:
    """The sums as cargo prints them, for .ci/run."""
    count = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    failed = count["failed"] + count["error"]
    print(
        f"test result: {'FAILED' if failed else 'ok'}. {count['passed']} passed; {failed} failed; "
        f"{count['skipped']} ignored; 0 measured; 0 filtered out"
    )
