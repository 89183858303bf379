"""What a call costs: short loops of every kind in turn, so that a busy moment falls on all of them, and their medians.

    python bindings/python/benches/call.py [--seconds 20] [--check]

`--check` exits with 1 where a limit is passed: for quiet machines. Records go
to `logdrive receive` where BINARY names that command, else nowhere (they are stored, the oldest dropped).
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time

import logdrive

TEXT = "x" * 200
# Short, so that most loops are not interrupted.
CALLS = 200
DIRECT_NANOSECONDS_MAX = 150
HANDLER_SHARE_MAX = 0.25


class Empty(logging.Handler):
    """What `logging` costs with a handler that does nothing."""

    def emit(self, record):
        pass


def logger(name, handler):
    made = logging.Logger(name)
    made.addHandler(handler)
    return made


def loops(client):
    """Each takes a number of calls and gives the nanoseconds they took."""
    null = logger("app", logging.NullHandler())
    empty = logger("app", Empty())
    handler = logger("app", logdrive.Handler(client))
    located = logger("app", logdrive.Handler(client, location=True))
    clock = time.perf_counter_ns

    def nothing(count):
        begin = clock()
        for _ in range(count):
            pass
        return clock() - begin

    def direct(count, client=client, text=TEXT):
        begin = clock()
        for _ in range(count):
            client.info(text)
        return clock() - begin

    def direct_3_attributes(count, client=client, text=TEXT):
        begin = clock()
        for _ in range(count):
            client.info(text, path="/cart", status=200, user="ada")
        return clock() - begin

    def direct_disabled(count, client=client, text=TEXT):
        client.set_level("info")
        begin = clock()
        for _ in range(count):
            client.debug(text)
        return clock() - begin

    def logging_loop(log):
        def loop(count, log=log, text=TEXT):
            begin = clock()
            for _ in range(count):
                log.info(text)
            return clock() - begin

        return loop

    return {
        "empty loop": nothing,
        "client.info(200 B)": direct,
        "client.info, 3 attributes": direct_3_attributes,
        "client.debug, disabled": direct_disabled,
        "logging, NullHandler": logging_loop(null),
        "logging, empty emit": logging_loop(empty),
        "logging, logdrive.Handler": logging_loop(handler),
        "logging, the same with location": logging_loop(located),
    }


def measure(client, seconds):
    kinds = loops(client)
    samples = {name: [] for name in kinds}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, loop in kinds.items():
            samples[name].append(loop(CALLS) / CALLS)
        # Room in the rings for the next round: the bench is of calls, not of throughput.
        client.flush(0.1)
    return samples


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url, receiver = "receivers://127.0.0.1:1/bench", None
        if "BINARY" in os.environ:
            command = [os.environ["BINARY"], "receive", "--listen", "127.0.0.1:0", "--dir", folder]
            receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            url = f"receivers://{receiver.stdout.readline().split()[-1]}/bench"
        with logdrive.Client(url, name=f"bench-{os.getpid()}", close_deadline="1s") as client:
            client.start()
            samples = measure(client, options.seconds)
            refused = client.stats()["refused"]
        if receiver is not None:
            receiver.kill()
            receiver.wait()
            receiver.stdout.close()
    medians = {name: statistics.median(values) for name, values in samples.items()}
    empty = medians["empty loop"]
    print(f"Python {sys.version.split()[0]}, {len(samples['empty loop'])} rounds of {CALLS} calls, refused: {refused}")
    print(f"{'':34}{'median':>9}{'fastest':>9}   ns per call, the loop's own {empty:.0f} ns taken off")
    for name, values in samples.items():
        print(f"{name:34}{medians[name] - empty:9.0f}{min(values) - min(samples['empty loop']):9.0f}")
    direct = medians["client.info(200 B)"] - empty
    base = medians["logging, NullHandler"]
    share = (medians["logging, logdrive.Handler"] - base) / (base - empty)
    print(f"direct call: {direct:.0f} ns, limit {DIRECT_NANOSECONDS_MAX}")
    print(f"Handler adds {share:.1%} to logging with a NullHandler, limit {HANDLER_SHARE_MAX:.0%}")
    if options.check and (direct > DIRECT_NANOSECONDS_MAX or share > HANDLER_SHARE_MAX):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
