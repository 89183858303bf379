"""What newcomers are told to do, and the example."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from conftest import BINARY, PATIENCE_SECONDS, wait_until
from test_servers import Connection

PACKAGE = pathlib.Path(__file__).parent.parent
EXAMPLES = PACKAGE.parent.parent / "examples" / "python"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)


def test_the_readme_leads_to_lines_that_arrive(receiver, tmp_path):
    """In a fresh environment with nothing but the wheel, which needs nothing else."""
    wheel = os.environ["WHEEL"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", wheel], check=True)
    hello = next(block for block in blocks("python") if "hello from" in block)
    program = tmp_path / "hello.py"
    program.write_text(hello.replace("127.0.0.1:9092", receiver.address))
    subprocess.run([python, program], check=True, timeout=PATIENCE_SECONDS)
    assert receiver.messages("hello") == ["hello from Python", "with attributes", "by the module logging"]
    assert "logdrive cat" in "".join(blocks("sh")) and pathlib.Path(BINARY).exists()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_program_of_the_readme_runs(programs, receiver, number):
    pytest.importorskip("structlog")
    pytest.importorskip("loguru")
    programs.run(blocks("python")[number].replace("127.0.0.1:9092", receiver.address))
    assert receiver.verified()["records"] > 0


def test_the_example_logs_its_requests(receiver, tmp_path):
    path = tmp_path / "http.sock"
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--preload", "--chdir", str(EXAMPLES)]
    command += ["--bind", f"unix:{path}", "httpd:app"]
    environment = {**os.environ, "LOGDRIVE_URL": receiver.url("httpd")}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: path.exists() or server.poll() is not None, "the server listens")
        for number in range(20):
            connection = Connection(path)
            connection.request("GET", f"/hello?name=client{number}" if number else "/fail")
            assert connection.getresponse().status == (200 if number else 500)
            connection.close()
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_SECONDS) == 0
    finally:
        server.kill()
        server.wait()
    requests = receiver.records("httpd-access")
    assert sorted(r["attributes"]["status"] for r in requests) == ["200"] * 19 + ["500"]
    messages = receiver.records("httpd")
    assert {f"greeting client{number}" for number in range(1, 20)} <= {r["value"] for r in messages}
    [failed] = [r for r in messages if r["severity"] == "ERROR"]
    assert "failed on purpose" in failed["value"] + failed["attributes"].get("exception.stacktrace", "")
    receiver.verified()
