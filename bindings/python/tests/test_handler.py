"""`logdrive.Handler` keeps the contract of `logging.Handler`."""

import io
import logging
import logging.handlers
import queue
import sys
import threading
import time

import pytest

import logdrive


@pytest.fixture
def log():
    logger = logging.Logger("app.module")
    yield logger
    for handler in list(logger.handlers):
        handler.close()


@pytest.fixture
def handler(client, log):
    handler = logdrive.Handler(client)
    log.addHandler(handler)
    return handler


def arrived(client, receiver):
    assert client.flush(30)
    return [
        (record["severity"], record["value"], {k: v for k, v in record["attributes"].items() if k != "logger"})
        for record in receiver.records()
    ]


def test_levels_arguments_and_extras(client, receiver, log, handler):
    log.log(5, "trace")
    log.debug("debug")
    log.info("%s of %d", "one", 2)
    log.warning("warning", extra={"user": "ada", "tries": 3})
    log.error("100%")
    log.critical("critical %(name)s", {"name": "x"})
    log.info(ValueError("an object"))
    log.info("grüße \udc80\0")
    assert arrived(client, receiver) == [
        ("TRACE", "trace", {}),
        ("DEBUG", "debug", {}),
        ("INFO", "one of 2", {}),
        ("WARN", "warning", {"user": "ada", "tries": "3"}),
        ("ERROR", "100%", {}),
        ("FATAL", "critical x", {}),
        ("INFO", "an object", {}),
        ("INFO", "grüße \\udc80\0", {}),
    ]
    assert receiver.records()[0]["attributes"] == {"logger": "app.module"}


def test_exceptions_and_stacks_are_formatted_in_the_call(client, receiver, log, handler):
    try:
        raise KeyError("lost")
    except KeyError:
        log.exception("failed")
    log.info("with stack", stack_info=True)
    log.info("with none", exc_info=True)
    (_, text, failed), (_, _, stack), (_, _, none) = arrived(client, receiver)
    assert text == "failed"
    assert failed["exception.type"] == "builtins.KeyError" and failed["exception.message"] == "'lost'"
    assert failed["exception.stacktrace"].startswith("Traceback") and "KeyError: 'lost'" in failed["exception.stacktrace"]
    assert "with stack" in stack["code.stacktrace"] or "test_exceptions" in stack["code.stacktrace"]
    assert none == {}


def test_location_on_request(client, receiver, log):
    log.addHandler(logdrive.Handler(client, location=True))
    log.info("here")
    [(_, _, attributes)] = arrived(client, receiver)
    assert attributes["code.file.path"].endswith("test_handler.py")
    assert attributes["code.function.name"] == "test_location_on_request"
    assert int(attributes["code.line.number"]) > 0


def test_a_formatter_makes_the_text(client, receiver, log, handler):
    handler.setFormatter(logging.Formatter("%(levelname)s|%(name)s|%(message)s"))
    log.info("formatted %d", 1, extra={"user": "ada"})
    handler.setFormatter(None)
    log.info("plain")
    assert arrived(client, receiver) == [
        ("INFO", "INFO|app.module|formatted 1", {"user": "ada"}),
        ("INFO", "plain", {}),
    ]


def test_levels_and_filters_of_the_handler(client, receiver, log, handler):
    handler.setLevel(logging.WARNING)
    log.info("below")
    handler.setLevel(logging.NOTSET)
    handler.addFilter(lambda record: "secret" not in record.msg)
    log.info("a secret")
    log.info("no matter")
    handler.filters.clear()
    client.set_level("error")
    log.info("below the client's")
    client.set_level("trace")
    if sys.version_info >= (3, 12):

        def replace(record):
            other = logging.makeLogRecord(record.__dict__)
            other.msg = "replaced"
            return other

        handler.addFilter(replace)
        log.info("original")
    expected = ["no matter"] + ["replaced"] * (sys.version_info >= (3, 12))
    assert [text for _, text, _ in arrived(client, receiver)] == expected


def test_errors_go_to_handle_error(client, receiver, log, handler, monkeypatch):
    class Broken:
        def __str__(self):
            raise KeyError("broken value")

    failures = []
    monkeypatch.setattr(handler, "handleError", lambda record: failures.append((record.msg, sys.exc_info()[0])))
    log.info("%d", "not a number")
    log.info("value", extra={"value": Broken()})
    handler.setFormatter(logging.Formatter("%(absent)s"))
    log.info("formatted")
    assert [message for message, _ in failures] == ["%d", "value", "formatted"]
    assert [kind for _, kind in failures] == [TypeError, KeyError, ValueError]
    handler.setFormatter(None)
    log.info("next")
    assert [text for _, text, _ in arrived(client, receiver)] == ["next"]


def test_errors_are_printed_as_raise_exceptions_says(log, handler, monkeypatch):
    for raises, expected in [(True, "--- Logging error ---"), (False, "")]:
        monkeypatch.setattr(logging, "raiseExceptions", raises)
        monkeypatch.setattr(sys, "stderr", stderr := io.StringIO())
        log.info("%d", "not a number")
        assert (expected in stderr.getvalue()) and bool(stderr.getvalue()) == raises


def test_what_is_no_exception_passes(log, handler):
    class Leaving:
        def __str__(self):
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        log.info(Leaving())


def test_subclasses_keep_their_say(client, receiver, log):
    class Shouting(logdrive.Handler):
        def format(self, record):
            return super().format(record).upper()

        def emit(self, record):
            record.msg += "!"
            self._write(record, self.format(record))

    log.addHandler(Shouting(client))
    log.info("hello")
    assert [text for _, text, _ in arrived(client, receiver)] == ["HELLO!"]


def test_records_of_other_makes(client, receiver, log, handler):
    class Braces(logging.LogRecord):
        def getMessage(self):
            return str(self.msg).format(*self.args)

    handler.handle(Braces("app", logging.INFO, "f.py", 1, "{} and {}", (1, 2), None))
    handler.handle(logging.makeLogRecord({"msg": "made", "levelno": 40, "color": "red"}))
    formatted = logging.makeLogRecord({"msg": "was formatted before", "levelno": 20})
    logging.Formatter("%(asctime)s %(message)s").format(formatted)
    handler.handle(formatted)
    assert [(s, t, a.get("color")) for s, t, a in arrived(client, receiver)] == [
        ("INFO", "1 and 2", None), ("ERROR", "made", "red"), ("INFO", "was formatted before", None),
    ]
    assert set(receiver.records()[2]["attributes"]) == {"logger"} or receiver.records()[2]["attributes"] == {}


def test_records_that_are_none_go_to_handle_error(handler, monkeypatch):
    failures = []
    monkeypatch.setattr(handler, "handleError", failures.append)
    for record in [None, 1, object(), logging.makeLogRecord({"levelno": "loud"})]:
        handler.handle(record)
    assert len(failures) == 4


def test_through_a_queue(client, receiver, log):
    records = queue.Queue()
    log.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, logdrive.Handler(client))
    listener.start()
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("queued %d", 1)
    listener.stop()
    [(severity, text, attributes)] = arrived(client, receiver)
    assert severity == "ERROR" and text.startswith("queued 1")
    assert "ValueError: x" in text + attributes.get("exception.stacktrace", "")


def test_the_lock_is_there_and_is_not_taken(client, receiver, log, handler):
    """Since 3.13 logging uses it as a context manager; our own writing does not wait for it."""
    with handler.lock:
        handler.setLevel(logging.INFO)
        thread = threading.Thread(target=log.info, args=("while locked",))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    handler.acquire()
    handler.release()
    handler.createLock()
    handler.setLevel(logging.DEBUG)
    assert [text for _, text, _ in arrived(client, receiver)] == ["while locked"]


def test_flush_and_close(receiver, log):
    handler = logdrive.Handler(receiver.url(), level="INFO", codec="lz4")
    log.addHandler(handler)
    log.debug("below")
    log.info("first")
    handler.flush()
    assert receiver.messages() == ["first"]
    log.info("second")
    handler.close()
    handler.close()
    assert receiver.messages() == ["first", "second"] and handler.target.closed
    log.info("too late")
    assert handler.target.stats()["refused"] == {"closed": 1}
    assert "INFO" in repr(handler) and receiver.address in repr(handler)


def test_closing_leaves_a_client_of_others_open(client, receiver, log):
    handler = logdrive.Handler(client.stream("audit"))
    log.addHandler(handler)
    log.info("to the stream")
    handler.flush()
    handler.close()
    assert not client.closed and client.info("still open") and client.flush(30)
    assert receiver.messages("audit") == ["to the stream"] and receiver.messages() == ["still open"]


def test_a_flush_is_bounded(rings, log):
    handler = logdrive.Handler("receivers://127.0.0.1:1/t", flush_timeout=0.2)
    log.addHandler(handler)
    log.info("nobody takes it")
    begin = time.monotonic()
    handler.flush()
    handler.close()
    assert time.monotonic() - begin < 30


def test_wrong_arguments(client):
    for arguments, options in [((None,), {}), ((1,), {}), ((), {}), ((client,), {"linger": "5ms"})]:
        with pytest.raises(TypeError):
            logdrive.Handler(*arguments, **options)
    with pytest.raises(logdrive.ConfigurationError):
        logdrive.Handler("nonsense")
    with pytest.raises(ValueError):
        logdrive.Handler(client, "LOUD")


def test_nothing_of_ours_logs_through_logging(rings, log):
    """No feedback: an unreachable receiver makes no record, on any logger."""
    seen = []
    root = logging.getLogger()
    witness = logging.Handler()
    witness.emit = seen.append
    root.addHandler(witness)
    root.setLevel(logging.NOTSET)
    try:
        handler = logdrive.Handler("receivers://127.0.0.1:1/t", flush_timeout=0.3)
        root.addHandler(handler)
        logging.getLogger("app").info("the only one")
        handler.flush()
        handler.close()
        root.removeHandler(handler)
    finally:
        root.removeHandler(witness)
        root.setLevel(logging.WARNING)
    assert [record.msg for record in seen] == ["the only one"]


def test_configured_by_dictionary_and_basic_config(receiver, programs):
    programs.run(
        """
        import logging, logging.config, sys
        logging.config.dictConfig({
            "version": 1,
            "handlers": {"drive": {"class": "logdrive.Handler", "target": sys.argv[1], "linger": "1ms"}},
            "root": {"handlers": ["drive"], "level": "INFO"},
        })
        logging.info("by dictionary")
        """,
        receiver.url(),
    )
    programs.run(
        """
        import logging, logdrive, sys
        logging.basicConfig(handlers=[logdrive.Handler(sys.argv[1])], level="INFO", format="%(message)s")
        logging.getLogger("app").info("by %s", "basicConfig")
        """,
        receiver.url(),
    )
    assert receiver.messages() == ["by dictionary", "by basicConfig"]
