"""`logdrive.Client`: what of it needs no speed."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from logdrive import _exit, _native


class Client(_native.Client):
    """A client, and the logger of the topic in its URL. Safe to share between threads.

    `Client("receivers://h1:9092,h2:9092/app-logs", linger="5ms", spool_dir="/var/spool/app")`: options are those of
    docs/configuration.md, dots as underscores, over the URL's, over the environment's `LOGDRIVE_*`.

    Opening reads the configuration and tries the directories; threads and files are made at the first record (or by
    `start`), in whatever process logs it. So a client may be opened before a fork, and each child that logs
    has rings, files and threads of its own. The network is never touched by a call.

    A log call returns whether the record was accepted. False is never raised as an exception: `stats()["refused"]`
    counts it by reason, and a record below the level is not logged. A record that was accepted survives the
    process.

    Closed by `close`, the end of a `with` block, or when it is collected. At the end of the process it is flushed.

    Raises ConfigurationError, StorageError.
    """

    __slots__ = ("_opened_with",)
    _opened_with: tuple[str, dict[str, Any]]

    def __new__(cls, url: str, /, **options: Any) -> Client:
        client = super().__new__(cls, url, **options)
        client._opened_with = (url, options)
        _exit.watch(client)
        return client

    def __init__(self, url: str, /, **options: Any) -> None:
        super().__init__()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __copy__(self) -> Client:
        return self

    def __deepcopy__(self, memo: object) -> Client:
        return self

    def __reduce__(self) -> tuple[Callable[..., Client], tuple[object, ...]]:
        """Pickled as what it was opened with: another process opens one of its own, once."""
        return _reopen, self._opened_with

    def __repr__(self) -> str:
        url, _ = self._opened_with
        return f"<logdrive.Client {url}{' closed' if self.closed else ''}>"


def _reopen(url: str, options: dict[str, Any]) -> Client:
    for client in _exit.clients():
        if client._opened_with == (url, options) and not client.closed:
            return client
    return Client(url, **options)
