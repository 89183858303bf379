"""Crash-safe log shipping: a record that was accepted survives the process and is sent until it is acknowledged.

    import logdrive

    with logdrive.Client("receivers://127.0.0.1:9092/app-logs") as log:
        log.info("request served", path="/cart", status=200)

`logdrive.Handler` is for the module `logging`, `logdrive.structlog` for structlog.
"""

from logdrive._client import Client
from logdrive._errors import (
    ConfigurationError,
    Error,
    InvalidArgumentError,
    StorageError,
    TooManyStreamsError,
)
from logdrive._handler import Handler
from logdrive._native import Logger

__all__ = [
    "Client",
    "ConfigurationError",
    "Error",
    "Handler",
    "InvalidArgumentError",
    "Logger",
    "StorageError",
    "TooManyStreamsError",
]
