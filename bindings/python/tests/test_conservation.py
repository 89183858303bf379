"""Witnesses: whatever was accepted arrives, once, whatever dies meanwhile. Judged by `logdrive verify`."""

import signal
import subprocess

from conftest import PATIENCE_SECONDS, wait_until

# Each thread writes down, by one write that a kill cannot tear, what it is about to log and what was accepted.
WITNESS = """
import logdrive, logging, os, sys, threading
url, folder, run, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
client = logdrive.Client(url)
handler = logdrive.Handler(client.stream("by-handler"))

def write(thread):
    log = logging.getLogger(f"thread{thread}")
    log.addHandler(handler)
    log.setLevel("INFO")
    witness = os.open(f"{folder}/{run}-{thread}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(count):
        text = f"{run} {thread} {number}"
        if client.info(text, number=number):
            os.write(witness, (text + "\\n").encode())
        if number % 10 == 0:
            log.info(text)

threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
for thread in threads: thread.start()
print("running", flush=True)
for thread in threads: thread.join()
print(client.close(60), client.stats()["accepted"], sum(client.stats()["refused"].values()))
"""


def witnessed(folder):
    return {line for path in folder.iterdir() for line in path.read_text().splitlines()}


def start(programs, receiver, folder, run, count) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    program = programs.start(WITNESS, receiver.url(), str(folder), run, str(count))
    assert program.stdout.readline() == "running\n"
    return program


def test_four_threads_and_a_receiver_that_is_killed_and_restarted(programs, receiver, tmp_path):
    folder = tmp_path / "witnesses"
    program = start(programs, receiver, folder, "run", 5_000)
    wait_until(lambda: len(receiver.messages()) > 1_000, "a part has arrived")
    receiver.kill()
    wait_until(lambda: len(witnessed(folder)) > 10_000, "more was logged while nobody listened")
    receiver.start()
    output, _ = program.communicate(timeout=2 * PATIENCE_SECONDS)
    assert program.returncode == 0
    is_settled, accepted, refused = output.split()
    assert (is_settled, accepted, refused) == ("True", "22000", "0")
    messages = receiver.messages()
    assert set(messages) == witnessed(folder) and len(messages) == 20_000
    assert len(receiver.messages("by-handler")) == 2_000
    for thread in range(4):
        own = [int(message.split()[2]) for message in messages if message.split()[1] == str(thread)]
        assert own == sorted(own), "the order of a thread is kept"
    verdict = receiver.verified()
    assert sum(instance["records"] - instance["duplicates"] for instance in verdict["instances"]) == 22_000


def test_programs_killed_again_and_again_lose_nothing(programs, receiver, tmp_path):
    folder = tmp_path / "witnesses"
    for run in range(3):
        if run == 1:
            receiver.kill()
        program = start(programs, receiver, folder, f"run{run}", 1_000_000)
        wait_until(lambda: len(witnessed(folder)) > (run + 1) * 2_000, "it has logged")
        program.send_signal(signal.SIGKILL)
        program.wait(PATIENCE_SECONDS)
        program.stdout.close()
        if run == 1:
            receiver.start()
    program = start(programs, receiver, folder, "last", 10)
    output, _ = program.communicate(timeout=2 * PATIENCE_SECONDS)
    assert output.split() == ["True", "44", "0"]
    # At most one record per thread was accepted and killed before the witness could write it down.
    wait_until(lambda: witnessed(folder) <= set(receiver.drained()), "every accepted record arrived")
    messages = receiver.messages()
    assert len(messages) == len(set(messages)), "none twice"
    assert len(set(messages) - witnessed(folder)) <= 3 * 4
    receiver.verified()
