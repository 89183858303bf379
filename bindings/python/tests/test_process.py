"""Forks, signals and the end of a process."""

import signal
import sys

import pytest

from conftest import PATIENCE_SECONDS, wait_until

OPEN = """
import logdrive, os, sys
client = logdrive.Client(sys.argv[1])
"""


def test_what_was_logged_before_the_end_arrives_without_a_flush(programs, receiver):
    # Never collected, which would close it; and nothing but a flush is as quick.
    leaked = "import ctypes\nctypes.pythonapi.Py_IncRef(ctypes.py_object(client))\n"
    url = receiver.url().replace("linger=1ms", "linger=10s")
    programs.run(OPEN + leaked + "client.info('last words')", url)
    assert receiver.messages() == ["last words"]


def test_logging_from_atexit_finalizers_and_module_teardown(programs, receiver, rings):
    source = OPEN + """
import atexit, logging, weakref
handler = logdrive.Handler(client)
logging.getLogger().addHandler(handler)

class Finalized:
    def __init__(self, name): self.name = name
    def __del__(self): client.info(f"del {self.name}")

atexit.register(client.info, "atexit")
atexit.register(logging.error, "logging at exit")
kept = Finalized("at teardown")
weakref.finalize(kept, client.info, "finalize")
passing = Finalized("early")
del passing
class Late:
    write = client.info
    def __del__(self): self.write("very late")
sys.late = Late()
"""
    programs.run(source, receiver.url())
    # What came behind the last flush lies in files, and the next process of the name sends it.
    programs.run(OPEN + "client.info('next')\nassert client.flush(30)", receiver.url())
    wait_until(lambda: "next" in receiver.messages(), "the second process has delivered")
    accepted = {"del early", "atexit", "logging at exit", "finalize", "next"}
    wait_until(lambda: accepted <= set(receiver.drained()), "the first one's rest is delivered")
    receiver.verified()


def test_the_end_is_bounded_where_nobody_listens(programs, rings):
    output = programs.run(
        """
        import atexit, logging, logdrive, time
        begin = []
        atexit.register(lambda: print(time.monotonic() - begin[0]))
        logging.basicConfig(handlers=[logdrive.Handler("receivers://127.0.0.1:1/t")])
        clients = [logdrive.Client("receivers://127.0.0.1:1/t", name=f"client{n}") for n in range(3)]
        for client in clients: client.info("nobody takes it")
        logging.error("nor this")
        begin.append(time.monotonic())
        """
    )
    assert float(output) < 30


@pytest.mark.parametrize("what", ["client.info('x')", "client.flush(0.05)", "logging.error('x')", "client.stats()"])
def test_daemon_threads_at_the_end_of_the_interpreter(programs, receiver, what):
    source = OPEN + f"""
import logging, threading, time
logging.getLogger().addHandler(logdrive.Handler(client))
def forever():
    while True: {what}
client.start()
for _ in range(4): threading.Thread(target=forever, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(2):
        programs.run(source, receiver.url() + "&ring.bytes_max=1MiB")


def test_a_signal_handler_may_log_whatever_it_interrupts(programs, receiver):
    source = OPEN + """
import signal, time
handled = 0
def handler(number, frame):
    global handled
    handled += 1
    client.info("from the handler", number=number)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
logged = 0
while handled < 50 and logged < 200_000:
    logged += client.info("from the loop", text="x" * 100)
signal.setitimer(signal.ITIMER_REAL, 0)
assert client.flush(30)
stats = client.stats()
print(logged + handled - stats["accepted"] - sum(stats["refused"].values()), stats["panics"])
"""
    assert programs.run(source, receiver.url()).split() == ["0", "0"]
    assert "from the handler" in receiver.messages()


def test_a_wait_can_be_interrupted(programs, rings):
    source = """
import logdrive, os, signal, threading, time
# Ignored where the tests themselves run in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = logdrive.Client("receivers://127.0.0.1:1/t")
client.info("nobody takes it")
for wait in (client.flush, client.close):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        wait(100_000)
    except KeyboardInterrupt:
        print("interrupted")
os._exit(0)
"""
    program = programs.start(source)
    output, _ = program.communicate(timeout=PATIENCE_SECONDS)
    assert output.split() == ["interrupted", "interrupted"]


FORKS = OPEN + """
before = client.stats()
assert client.info("parent")
children = []
for child in range(3):
    process = os.fork()
    if process == 0:
        for number in range(100):
            assert client.info(f"child {child} {number}")
        grandchild = os.fork()
        if grandchild == 0:
            client.info(f"grandchild {child}")
            client.flush(60)
            os._exit(0)
        os.waitpid(grandchild, 0)
        client.flush(60)
        os._exit(0)
    children.append(process)
for process in children: assert os.waitpid(process, 0)[1] == 0
assert client.info("parent again") and client.flush(60)
assert client.stats()["accepted"] == 2
"""


def test_forked_children_log_each_for_itself(programs, receiver):
    flags = ("-W", "ignore::DeprecationWarning")
    programs.run(FORKS, receiver.url(), flags=flags)
    expected = {"parent", "parent again"} | {f"grandchild {child}" for child in range(3)}
    expected |= {f"child {child} {number}" for child in range(3) for number in range(100)}
    messages = receiver.messages()
    assert set(messages) == expected and len(messages) == len(expected)
    assert len(receiver.verified()["instances"]) == 7


def test_a_fork_before_the_first_record_gives_no_warning(programs, receiver):
    source = OPEN + """
client.stream("other")
if os.fork() == 0:
    client.info("child")
    client.flush(60)
    os._exit(0)
assert os.wait()[1] == 0
"""
    programs.run(source, receiver.url(), flags=("-W", "error"))
    assert receiver.messages() == ["child"]


def test_a_child_forked_while_threads_log_is_whole(programs, receiver):
    source = OPEN + """
import threading, time
stop = threading.Event()
def forever(name):
    while not stop.is_set():
        client.info(name)
        time.sleep(0.001)
threads = [threading.Thread(target=forever, args=(f"thread {n}",)) for n in range(3)]
for thread in threads: thread.start()
for child in range(20):
    process = os.fork()
    if process == 0:
        ok = client.info(f"child {child}") and client.flush(60)
        os._exit(0 if ok else 1)
    assert os.waitpid(process, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
assert client.flush(60)
"""
    programs.run(source, receiver.url(), flags=("-W", "ignore::DeprecationWarning"))
    children = [message for message in receiver.messages() if message.startswith("child")]
    assert sorted(children) == sorted(f"child {number}" for number in range(20))
    receiver.verified()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(programs, receiver, method):
    """With the client as a global, and as an argument, which is pickled where the method needs it."""
    source = """
import logdrive, multiprocessing, sys

def work(client, number):
    assert client.info(f"work {number}")

if __name__ == "__main__":
    client = logdrive.Client(sys.argv[1])
    client.info("parent")
    context = multiprocessing.get_context(sys.argv[2])
    processes = [context.Process(target=work, args=(client, number)) for number in range(3)]
    for process in processes: process.start()
    for process in processes: process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with context.Pool(2) as pool:
        pool.starmap(work, [(client, f"pool {number}") for number in range(4)])
        pool.close()
        pool.join()
"""
    flags = ("-W", "ignore::DeprecationWarning")
    programs.run(source, receiver.url(), method, flags=flags)
    expected = ["parent"] + [f"work {n}" for n in range(3)] + [f"work pool {n}" for n in range(4)]
    wait_until(lambda: len(receiver.drained()) >= len(expected), "the children's records arrived")
    assert sorted(receiver.messages()) == sorted(expected)
    receiver.verified()


def test_killed_by_a_signal_nothing_accepted_is_lost(programs, receiver):
    program = programs.start(OPEN + "client.info('stored')\nprint('logged', flush=True)\nos.kill(os.getpid(), 9)", receiver.url())
    program.communicate(timeout=PATIENCE_SECONDS)
    assert program.returncode == -signal.SIGKILL
    programs.run(OPEN + "client.info('next')", receiver.url())
    wait_until(lambda: set(receiver.drained()) == {"stored", "next"}, "both are delivered")
    receiver.verified()


def test_subinterpreters_are_refused_clearly(programs):
    source = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import logdrive
inner = interpreters.create()
program = '''
try:
    import logdrive
except ImportError as error:
    print(type(error).__name__, error)
else:
    print("imported")
'''
interpreters.run_string(inner, program)
"""
    output = programs.run(source)
    if sys.version_info >= (3, 12):
        assert output.startswith("ImportError") and "interpreter" in output
    else:
        # The interpreters share the module itself, and the one lock; nobody asks it.
        assert output == "imported\n"
