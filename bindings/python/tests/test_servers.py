"""Prefork servers, with no hook in the application: a client that the module opens serves every worker."""

import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from conftest import PATIENCE_SECONDS, wait_until

APPLICATION = """
import logdrive, os
client = logdrive.Client(os.environ["TEST_URL"])
if os.environ.get("TEST_LOGS_WHEN_LOADED"):
    client.info("loaded")

def application(environ, start_response):
    accepted = client.info(environ["PATH_INFO"], process=os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{accepted} {os.getpid()}".encode()]
"""
REQUESTS_EACH = 25
THREADS = 4
FOLLOWER = "import logdrive, sys\nclient = logdrive.Client(sys.argv[1])\nclient.info('after')\nassert client.flush(60)"


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self.path))


def ask(path: pathlib.Path, what: str) -> tuple[str, int]:
    connection = Connection(path)
    connection.request("GET", what)
    accepted, process = connection.getresponse().read().decode().split()
    connection.close()
    return accepted, int(process)


def gunicorn(*options: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", "unix:http.sock", *options, "app:application"]


def uwsgi(*options: str) -> list[str]:
    program = pathlib.Path(sys.executable).with_name("uwsgi")
    return [
        str(program), "--master", "--processes", "2", "--http-socket", "http.sock", "--wsgi-file", "app.py",
        "--die-on-term", "--need-app", *options,
    ]


SERVERS = {
    "gunicorn": gunicorn(),
    "gunicorn-preload": gunicorn("--preload"),
    "gunicorn-threads": gunicorn("--preload", "--threads", "4"),
    "uwsgi": uwsgi(),
    "uwsgi-lazy": uwsgi("--lazy-apps"),
    "uwsgi-threads": uwsgi("--enable-threads", "--threads", "4"),
}


@pytest.mark.parametrize("logs_when_loaded", ["", "1"], ids=["quiet", "logs-when-loaded"])
@pytest.mark.parametrize("server", SERVERS)
def test_every_accepted_record_of_every_worker_arrives(tmp_path, receiver, programs, server, logs_when_loaded):
    (tmp_path / "app.py").write_text(APPLICATION)
    environment = {**os.environ, "TEST_URL": receiver.url(), "TEST_LOGS_WHEN_LOADED": logs_when_loaded}
    command = SERVERS[server]
    if command[0] != sys.executable and not os.path.exists(command[0]):
        pytest.skip("uWSGI is not installed")
    log = (tmp_path / "server.log").open("w+")
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        path = tmp_path / "http.sock"
        wait_until(lambda: path.exists() or running.poll() is not None, "the server listens")
        assert running.poll() is None, (tmp_path / "server.log").read_text()
        accepted: list[str] = []
        workers: set[int] = set()

        def client(thread: int) -> None:
            for number in range(REQUESTS_EACH):
                what = f"/{thread}/{number}"
                verdict, process = ask(path, what)
                workers.add(process)
                if verdict == "True":
                    accepted.append(what)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(accepted) == THREADS * REQUESTS_EACH
        # One worker dies like a crash; what it had accepted is sent by its successor, or by the next process.
        os.kill(next(iter(workers)), signal.SIGKILL)
        # A connection that the dead worker had taken is reset.
        after = f"/after/{server}"
        while True:
            try:
                verdict, _ = ask(path, after)
                break
            except (ConnectionError, http.client.HTTPException):
                continue
        running.terminate()
        running.wait(PATIENCE_SECONDS)
    finally:
        running.kill()
        running.wait()
        log.close()
    programs.run(FOLLOWER, receiver.url())
    expected = [*accepted, after] if verdict == "True" else accepted

    def arrived() -> list[str]:
        return [message for message in receiver.drained() if message.startswith("/")]

    wait_until(lambda: set(arrived()) >= set(expected), "every accepted record arrived")
    assert sorted(arrived()) == sorted(expected)
    receiver.verified()
