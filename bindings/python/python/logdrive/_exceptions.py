"""Exceptions as attributes, named as in OpenTelemetry's conventions."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Optional, Union

ExceptionInfo = tuple[Optional[type[BaseException]], Optional[BaseException], Optional[TracebackType]]


def of_info(info: ExceptionInfo) -> dict[str, str]:
    """The attributes of an `exc_info` triple; none of an empty one."""
    kind, error, trace = info
    if kind is None:
        return {}
    return {
        "exception.type": f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": _text(error),
        "exception.stacktrace": "".join(traceback.format_exception(kind, error, trace)).rstrip("\n"),
    }


def of_argument(argument: Union[bool, BaseException, ExceptionInfo, None]) -> dict[str, str]:
    """The attributes of what callers pass as `exc_info`: whether, an exception, or a triple."""
    if isinstance(argument, BaseException):
        return of_info((type(argument), argument, argument.__traceback__))
    if isinstance(argument, tuple):
        return of_info(argument)
    return of_info(sys.exc_info()) if argument else {}


def of_record(record: logging.LogRecord) -> dict[str, Any]:
    """The attributes of a record's exception, or of its text where only that was kept, and of its stack."""
    attributes: dict[str, Any] = {}
    if record.exc_info:
        attributes.update(of_argument(record.exc_info))
    if record.exc_text and "exception.stacktrace" not in attributes:
        attributes["exception.stacktrace"] = record.exc_text
    if record.stack_info:
        attributes["code.stacktrace"] = record.stack_info
    return attributes


def _text(error: BaseException | None) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} without a text>"
