"""The end of a process: what was accepted is given a last chance to arrive.

Flushes, does not close: handlers and finalizers that run later may still log, and what they log is stored too.
What does not arrive in time stays in its files, and the next process of the same name sends it; so it is after
`os._exit`, a signal or a crash.

The children of multiprocessing leave by `os._exit`, where no atexit handler runs (before 3.13), so they are given
a finalizer of its own kind.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING

from logdrive import _native

if TYPE_CHECKING:
    from logdrive._client import Client

# The longest that the end of a process is held up, over all clients.
_FLUSH_SECONDS_MAX = 2.0
# Behind the application's own finalizers, whose default is above 0.
_FINALIZER_PRIORITY = -100

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_is_ending = False


def watch(client: Client) -> None:
    """Flushes the client at the end of this process, and of children that multiprocessing makes."""
    _clients.add(client)
    _finalize_with_multiprocessing()


def clients() -> list[Client]:
    """The clients of this process that somebody still holds."""
    return list(_clients)


def patience(asked: float | None) -> float | None:
    """How long a wait may take: what was asked for, and nothing any more once the end has taken its time."""
    return 0.0 if _is_ending else asked


def _flush_all() -> None:
    deadline = time.monotonic() + _FLUSH_SECONDS_MAX
    for client in clients():
        client.flush(max(0.0, deadline - time.monotonic()))
    _set_ending(True)


def _finalize_with_multiprocessing() -> None:
    """Only in children: in others, and where it was never imported, atexit does it."""
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _flush_all, exitpriority=_FINALIZER_PRIORITY)


def _set_ending(is_ending: bool) -> None:
    global _is_ending
    _is_ending = is_ending
    _native._set_end(is_ending)


def _after_fork_in_child() -> None:
    _set_ending(False)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # The child forgets its parent's finalizers next, and then asks those who want to know of the fork.
        util.register_after_fork(_flush_all, lambda _: _finalize_with_multiprocessing())


atexit.register(_flush_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
