"""structlog and loguru, as the README shows them."""

import copy
import pickle

import pytest

import logdrive
from logdrive.structlog import LoggerFactory, to_attributes

structlog = pytest.importorskip("structlog")
loguru = pytest.importorskip("loguru")


@pytest.fixture
def configured():
    yield
    structlog.reset_defaults()


def test_structlog_keeps_keys_as_attributes(client, receiver, configured):
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, to_attributes],
        logger_factory=LoggerFactory(client),
    )
    log = structlog.get_logger("named").bind(user="ada")
    log.info("request served", path="/cart", status=200)
    log.warning("slow")
    log.critical("fatal", **{"odd key": None})
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("failed")
    assert client.flush(30)
    first, second, third, fourth = receiver.records()
    assert first["value"] == "request served" and first["severity"] == "INFO"
    assert first["attributes"] == {"user": "ada", "path": "/cart", "status": "200"}
    assert second["severity"] == "WARN" and second["attributes"] == {"user": "ada"}
    assert third["severity"] == "FATAL" and third["attributes"]["odd key"] == "None"
    assert fourth["severity"] == "ERROR" and fourth["attributes"]["exception.type"] == "builtins.ValueError"


def test_structlog_with_a_renderer(client, receiver, configured):
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(sort_keys=True)],
        logger_factory=LoggerFactory(client.stream("json")),
    )
    structlog.get_logger().error("boom", code=7)
    structlog.configure(processors=[lambda *_: b"bytes"], logger_factory=LoggerFactory(client.stream("json")))
    structlog.get_logger().debug("ignored")
    assert client.flush(30)
    assert [(r["severity"], r["value"]) for r in receiver.records("json")] == [
        ("ERROR", '{"code": 7, "event": "boom", "level": "error"}'), ("DEBUG", "bytes"),
    ]


def test_loggers_of_structlog_may_be_copied_and_pickled(client):
    factory = LoggerFactory(client)
    assert factory() is client and factory("a", "b") is client
    assert copy.deepcopy(factory)() is client and pickle.loads(pickle.dumps(factory))() is client


def test_loguru_by_the_handler(client, receiver):
    loguru.logger.remove()
    sink = loguru.logger.add(logdrive.Handler(client), format="{message}")
    try:
        loguru.logger.bind(user="ada").info("hello {}", "loguru")
        loguru.logger.trace("below the sink's level")
        loguru.logger.success("between")
        try:
            raise ValueError("x")
        except ValueError:
            loguru.logger.exception("failed")
        loguru.logger.complete()
    finally:
        loguru.logger.remove(sink)
    assert client.flush(30)
    hello, success, failed = receiver.records()
    assert (hello["severity"], hello["value"], hello["attributes"]["user"]) == ("INFO", "hello loguru", "ada")
    assert (success["severity"], success["value"]) == ("INFO", "between")
    assert failed["value"].startswith("failed")
    assert "ValueError: x" in failed["value"] + failed["attributes"].get("exception.stacktrace", "")
    assert not client.closed
