"""Celery's prefork pool, with no hook in the application: a client that the module opens serves every worker."""

import os
import signal
import subprocess
import sys

import pytest

from conftest import PATIENCE_SECONDS, wait_until

pytest.importorskip("celery")

TASKS = """
import celery, logdrive, os
client = logdrive.Client(os.environ["TEST_URL"])
if os.environ.get("TEST_LOGS_WHEN_LOADED"):
    client.info("loaded")
app = celery.Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
app.conf.task_ignore_result = True

@app.task
def work(number):
    assert client.info(f"task {number}", process=os.getpid())
"""
TASKS_COUNT = 40
# Workers leave by `os._exit` after so many, while others work, as often as there are tasks for.
TASKS_PER_WORKER = 5


@pytest.mark.parametrize("logs_when_loaded", ["", "1"], ids=["quiet", "logs-when-loaded"])
def test_every_task_of_every_worker_is_logged(tmp_path, receiver, logs_when_loaded):
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    environment = {**os.environ, "TEST_URL": receiver.url()}
    send = f"import tasks\nfor number in range({TASKS_COUNT}): tasks.work.delay(number)"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=environment, check=True, timeout=PATIENCE_SECONDS)
    environment["TEST_LOGS_WHEN_LOADED"] = logs_when_loaded
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    command += ["--max-tasks-per-child", str(TASKS_PER_WORKER), "--loglevel", "INFO"]
    log = (tmp_path / "worker.log").open("w+")
    worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)

    # Where the parent logs, it delivers what workers leave behind; else the last of them have no heir here.
    arrived = receiver.messages if logs_when_loaded else receiver.drained

    def tasks() -> list[str]:
        return [message for message in arrived() if message.startswith("task ")]

    try:
        wait_until(lambda: len(tasks()) >= TASKS_COUNT or worker.poll() is not None, "every task has arrived")
        assert worker.poll() is None, (tmp_path / "worker.log").read_text()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0, (tmp_path / "worker.log").read_text()
    finally:
        worker.kill()
        worker.wait()
        log.close()
    assert sorted(tasks()) == sorted(f"task {number}" for number in range(TASKS_COUNT))
    assert len(receiver.messages()) == TASKS_COUNT + bool(logs_when_loaded)
    processes = {process_of(record) for record in receiver.records() if process_of(record)}
    assert len(processes) >= TASKS_COUNT / TASKS_PER_WORKER
    receiver.verified()


def process_of(record: dict) -> str | None:
    """The attribute `process` of a record."""
    return record["attributes"].get("process")
