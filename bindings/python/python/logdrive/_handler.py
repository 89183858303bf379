"""`logdrive.Handler`, for the module `logging`."""

from __future__ import annotations

import logging
from typing import Any

from logdrive import _exit, _native
from logdrive._client import Client
from logdrive._native import Logger


class Handler(_native.RecordHandler, logging.Handler):
    """Sends the records of the module `logging`.

    `target` is a client, one of its streams, or a URL, with options, for a client of the handler's own. A record
    travels as its message, with the logger's name, `extra=` and an exception as attributes, and with
    `location=True` also file, line and function. With a formatter the text is what that makes.

    As for every handler, what goes wrong with a record (a message that does not fit its arguments, say) is given to
    `handleError`. What is refused is counted, as in every log call. Writing takes no lock; with a filter or a
    formatter, or where a subclass has an `emit`, `format` or `handleError` of its own, they are called as logging does.
    """

    def __init__(
        self,
        target: Client | Logger | str,
        level: int | str = logging.NOTSET,
        *,
        location: bool = False,
        flush_timeout: float | None = None,
        **options: Any,
    ) -> None:
        self._own: Client | None = None
        if isinstance(target, str):
            target = self._own = Client(target, **options)
        elif not isinstance(target, Logger):
            raise TypeError(f"target is a client, a stream or a URL, not {type(target).__name__}")
        elif options:
            raise TypeError("options are for a client of the handler's own, which a URL opens")
        logging.Handler.__init__(self, level)
        self.target = target
        self.flush_timeout = flush_timeout
        self._bind(target, location)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.emit is not Handler.emit or cls.format is not Handler.format:
            if cls.handle is Handler.handle:
                # Through `setattr`, which is how a type checker lets a method be replaced.
                setattr(cls, "handle", logging.Handler.handle)

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record, formatted; called by `handle` where that is not done natively."""
        try:
            self._write(record, self.format(record) if self.formatter else record.getMessage())
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Waits until what was accepted is acknowledged, `flush_timeout` seconds at most
        (the option `close.deadline` where None)."""
        target = getattr(self, "target", None)
        if target is not None:
            target.flush(_exit.patience(self.flush_timeout))

    def close(self) -> None:
        """Flushes, and closes the client if it is the handler's own. May be called again."""
        own = getattr(self, "_own", None)
        if own is not None and not own.closed:
            own.close(_exit.patience(self.flush_timeout))
        super().close()

    def _handle_formatted(self, record: logging.LogRecord) -> Any:
        return logging.Handler.handle(self, record)

    def _fail(self, record: logging.LogRecord, error: Exception) -> None:
        try:
            raise error
        except Exception:
            self.handleError(record)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target!r} ({logging.getLevelName(self.level)})>"
