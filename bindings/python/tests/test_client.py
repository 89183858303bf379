"""The direct API, and what it does with input that nobody expects."""

import copy
import logging
import pathlib
import pickle
import sys
import threading

import pytest

import logdrive

from conftest import wait_until


def headers(record):
    return {"severity": record["severity"], **record["attributes"]}


def test_every_level_arrives_in_order_with_its_attributes(client, receiver):
    names = ["trace", "debug", "info", "warn", "error", "fatal"]
    for name in names:
        assert getattr(client, name)(f"at {name}", path="/cart", status=200, ratio=0.5, hit=True) is True
    assert client.warning("warning") and client.critical("critical")
    assert client.log(logging.INFO, "by number") and client.log("Info", "by name")
    assert client.log(25, "between")
    assert client.flush(30)
    records = receiver.records()
    assert [record["value"] for record in records[:6]] == [f"at {name}" for name in names]
    assert [headers(record)["severity"] for record in records] == [
        "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "WARN", "FATAL", "INFO", "INFO", "INFO",
    ]
    assert headers(records[0]) == {
        "severity": "TRACE", "path": "/cart", "status": "200", "ratio": "0.5", "hit": "true",
    }
    assert receiver.verified()["records"] == 11


def test_below_the_level_nothing_is_logged_and_nothing_is_converted(client, receiver):
    class Bomb:
        def __str__(self):
            raise AssertionError("was converted")

    client.set_level("warn")
    assert not client.is_enabled(logging.INFO) and client.is_enabled("warning")
    assert client.info(Bomb(), value=Bomb()) is False
    assert client.warn("logged") is True
    client.set_level(logging.DEBUG)
    assert client.is_enabled("debug") and not client.is_enabled("trace")
    assert client.flush(30)
    assert receiver.messages() == ["logged"]
    assert client.stats()["refused"] == {}


def test_streams_are_topics_and_keys_are_keys(client, receiver):
    audit = client.stream("audit")
    assert audit.info("who did what") and client.info("here")
    assert client.log_keyed("info", "user-1", "keyed", key="an attribute") is True
    assert client.stream("audit").info("the same stream")
    assert client.flush(30)
    assert receiver.messages("audit") == ["who did what", "the same stream"]
    keyed = receiver.records()[1]
    assert (keyed["key"], headers(keyed)["key"]) == ("user-1", "an attribute")
    with pytest.raises(logdrive.InvalidArgumentError, match="stream name"):
        client.stream("no spaces")
    with pytest.raises(logdrive.TooManyStreamsError):
        for number in range(64):
            client.stream(f"stream-{number}")


def test_stats_tell_what_happened(client, receiver):
    before = client.stats()
    assert before["accepted"] == 0 and before["receivers"] == [] and before["instance"] == ""
    for number in range(100):
        client.info(f"line {number}")
    assert client.flush(30)
    stats = client.stats()
    assert stats["accepted"] == stats["delivered"] == 100
    assert stats["stored"] == 0 and stats["dropped"] == {} and stats["refused"] == {}
    assert stats["receivers"][0]["address"] == receiver.address
    assert stats["arena_is_private"] is False
    receiver.verified("--expect", f"{stats['instance']}:100")
    with pytest.raises(AssertionError, match=stats["instance"]):
        receiver.verified("--expect", f"{stats['instance']}:101")


def test_a_with_block_closes_and_what_comes_later_is_refused(receiver):
    with logdrive.Client(receiver.url()) as client:
        logger = client.stream("other")
        assert client.info("inside")
    assert client.closed and "closed" in repr(client)
    assert client.info("outside") is False and logger.info("outside") is False
    assert client.flush(1) and client.close() and client.close()
    assert client.stats()["refused"] == {"closed": 2}
    never = logdrive.Client(receiver.url())
    assert never.close() is True and never.info("never started") is False
    with pytest.raises(logdrive.Error, match="closed"):
        never.start()
    assert never.stats()["refused"] == {"closed": 1}
    assert receiver.messages() == ["inside"]


def test_opening_reads_options_and_says_what_is_wrong(receiver, rings, monkeypatch, tmp_path):
    client = logdrive.Client(
        receiver.url(), codec="lz4", ring_bytes_max="2MiB", **{"batch.records_max": 10}, spool_dir=tmp_path / "spool"
    )
    client.start()
    assert client.stats()["arena_bytes"] < 4 << 20 and (tmp_path / "spool").is_dir()
    client.close()
    for arguments, options, text in [
        (("nonsense",), {}, "URL"),
        (("receivers://h/\0",), {}, "topic"),
        (("receivers://h/t",), {"lingr": "5ms"}, "linger"),
        (("receivers://h/t",), {"linger": "soon"}, "soon"),
        (("receivers://h/t",), {"linger": "5ms\0"}, "linger"),
        (("receivers://h/t",), {"linger": -1}, "linger"),
    ]:
        with pytest.raises(logdrive.ConfigurationError, match=text) as caught:
            logdrive.Client(*arguments, **options)
        assert isinstance(caught.value, ValueError) and caught.value.code == "CONFIGURATION"
    for arguments, options in [((), {}), ((None,), {}), ((b"receivers://h/t",), {}), (("receivers://h/t",), {"linger": 0.5})]:
        with pytest.raises(TypeError):
            logdrive.Client(*arguments, **options)
    with pytest.raises(ValueError):
        logdrive.Client("receivers://h/\udc80")
    monkeypatch.setenv("LOGDRIVE_LINGR", "5ms")
    with pytest.raises(logdrive.ConfigurationError, match="LOGDRIVE_LINGER"):
        logdrive.Client(receiver.url())


def test_a_place_that_cannot_be_written_is_no_reason_to_fail(receiver, tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("not a directory")
    client = logdrive.Client(receiver.url(), spool_dir=occupied)
    assert client.info("kept in memory") is True
    assert client.close()
    assert receiver.messages() == ["kept in memory"]


def test_opening_makes_neither_threads_nor_files(receiver, rings):
    def threads():
        return len(list(pathlib.Path("/proc/self/task").iterdir()))

    before = threads()
    client = logdrive.Client(receiver.url())
    client.stream("other")
    assert client.flush(1) and client.stats()["accepted"] == 0
    assert threads() == before and list(rings.iterdir()) == []
    client.info("first")
    assert threads() > before
    client.close()
    assert threads() == before


def test_a_directory_that_is_gone_at_the_first_record_is_no_reason_to_fail(receiver, rings):
    client = logdrive.Client(receiver.url())
    rings.rmdir()
    rings.write_text("in the way")
    assert client.info("kept in memory") is True
    assert client.close()
    assert receiver.messages() == ["kept in memory"]
    rings.unlink()


@pytest.mark.parametrize(
    ("message", "arrives"),
    [
        ("", ""),
        ("a\0b", "a\0b"),
        ("\udc80 \ud800", "\\udc80 \\ud800"),
        ("grüße 🦀", "grüße 🦀"),
        (b"raw", "raw"),
        (None, "None"),
        (42, "42"),
        (ValueError("x"), "x"),
        ("x" * 100_000, "x" * 100_000),
    ],
    ids=["empty", "nul", "surrogates", "unicode", "bytes", "none", "int", "exception", "large"],
)
def test_any_object_is_a_message_a_value_and_a_key(client, receiver, message, arrives):
    assert client.info(message, value=message) is True
    assert client.log_keyed("info", message, "keyed") is True
    assert client.flush(30)
    plain, keyed = receiver.records()
    assert (plain["value"], headers(plain)["value"], keyed["key"]) == (arrives, arrives, arrives)


def test_bytes_that_are_no_text_arrive_as_they_are(client, receiver):
    assert client.info(b"\xff\x00\xfe")
    assert client.flush(30)
    assert receiver.records()[0]["value_base64"] == "/wD+"


def test_names_of_attributes_may_be_anything_but_ours(client, receiver):
    names = {"": "empty", "a\0b": "nul", "ü": "unicode", "message": "1", "level": "2", "self": "3", "\udc80": "4"}
    assert client.info("odd names", **names) is True
    assert client.info("reserved", **{"logdrive.id": "x"}) is False
    assert client.info("too long", **{"n" * 70_000: "x"}) is False
    assert client.info("many", **{f"name{number}": number for number in range(500)}) is True
    assert client.flush(30)
    assert client.stats()["refused"] == {"invalid": 2}
    odd, many = receiver.records()
    expected = {**names, "\\udc80": "4", "severity": "INFO"}
    del expected["\udc80"]
    assert headers(odd) == expected
    assert len(headers(many)) == 501


def test_a_record_that_is_too_large_is_refused_and_counted(client, receiver):
    assert client.info("x" * (64 << 20)) is False
    assert client.info("small", value="x" * (64 << 20)) is False
    assert client.stats()["refused"] == {"record_too_large": 2}


def test_wrong_arguments_raise(client):
    for call in [
        lambda: client.info(),
        lambda: client.info("a", "b"),
        lambda: client.log(None, "x"),
        lambda: client.log(10**30, "x"),
        lambda: client.stream(None),
        lambda: client.flush("soon"),
        lambda: logdrive.Logger(),
        lambda: logdrive.Client.info(object(), "x"),
    ]:
        with pytest.raises(TypeError):
            call()
    for call in [
        lambda: client.log("loud", "x"),
        lambda: client.set_level(""),
        lambda: client.flush(-1),
        lambda: client.flush(float("nan")),
        lambda: client.close(float("inf")),
    ]:
        with pytest.raises(ValueError):
            call()


def test_what_a_value_raises_is_raised_and_nothing_is_logged(client, receiver):
    class Broken:
        def __str__(self):
            raise KeyError("broken")

    with pytest.raises(KeyError):
        client.info("x", value=Broken())
    with pytest.raises(KeyError):
        client.info(Broken())
    assert client.stats()["accepted"] == 0


def test_a_value_that_logs_while_it_is_converted_is_logged_too(client, receiver):
    class Logging:
        def __str__(self):
            client.info("inner")
            return "value"

    assert client.info("outer", value=Logging())
    assert client.flush(30)
    assert receiver.messages() == ["inner", "outer"]


def test_exceptions_become_attributes(client, receiver):
    try:
        raise ValueError("bad\0value")
    except ValueError as error:
        client.exception("with exception", user="ada")
        client.error("by value", exc_info=error)
        client.warn("by flag", exc_info=True)
    client.info("none at hand", exc_info=True, other=1)
    assert client.flush(30)
    records = [headers(record) for record in receiver.records()]
    for record in records[:3]:
        assert record["exception.type"] == "builtins.ValueError"
        assert record["exception.message"] == "bad\0value"
        assert "test_exceptions_become_attributes" in record["exception.stacktrace"]
    assert records[0]["user"] == "ada" and records[0]["severity"] == "ERROR"
    assert records[3] == {"severity": "INFO", "other": "1"}


def test_copies_and_pickles_are_the_client_itself(client):
    assert copy.copy(client) is client and copy.deepcopy([client])[0] is client
    assert pickle.loads(pickle.dumps(client)) is client


def test_waiting_lets_other_threads_run(rings):
    """The interpreter is free during a flush: one thread waits, another one does the counting."""
    client = logdrive.Client("receivers://127.0.0.1:1/t")
    client.info("nobody takes it")
    done, counted = threading.Event(), 0
    waiter = threading.Thread(target=lambda: (client.flush(1.0), done.set()))
    waiter.start()
    while not done.is_set():
        counted += 1
    waiter.join()
    assert counted > 1000
    assert client.flush(0) is False and client.close(0) is False


def test_a_full_ring_under_the_waiting_policy_lets_other_threads_run(rings):
    client = logdrive.Client(
        "receivers://127.0.0.1:1/t",
        ring_bytes_max="1MiB", ring_full="block", ring_full_deadline="500ms",
        spool_bytes_max="16MiB", spool_full="block", codec="none",
    )
    stop, counted, text = threading.Event(), 0, "x" * 8_000

    def fill():
        while client.info(text):
            pass
        stop.set()

    filler = threading.Thread(target=fill)
    filler.start()
    while not stop.is_set():
        counted += 1
    filler.join()
    refused = client.stats()["refused"]
    assert sum(refused.values()) == 1 and set(refused) <= {"ring_full", "spool_full"}, refused
    assert counted > 1000
    client.close(0)


def test_the_types_are_there():
    folder = pathlib.Path(logdrive.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "_native.pyi").exists()
    for name in logdrive.__all__:
        assert getattr(logdrive, name).__doc__, name
    assert sys.modules["logdrive"].Client.info.__doc__
