"""For structlog: a logger factory, and a last processor that keeps the event's keys apart.

    import logdrive, structlog
    from logdrive.structlog import LoggerFactory, to_attributes

    client = logdrive.Client("receivers://127.0.0.1:9092/app-logs")
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, to_attributes],
        logger_factory=LoggerFactory(client),
    )
    structlog.get_logger().info("request served", path="/cart", status=200)

With a renderer such as `structlog.processors.JSONRenderer` in place of `to_attributes`, its text (`str` or `bytes`) is
the record. Imports nothing of structlog.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from logdrive._native import Logger


class LoggerFactory:
    """Gives structlog the client, or one of its streams, as the logger that it wraps."""

    def __init__(self, target: Logger) -> None:
        self._target = target

    def __call__(self, *names: Any) -> Logger:
        return self._target


def to_attributes(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The last processor: the event is the message, all other keys are attributes."""
    message = event.pop("event", "")
    return (message,), {str(name): value for name, value in event.items()}
