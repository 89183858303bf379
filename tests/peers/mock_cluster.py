"""Runs librdkafka's mock cluster for as long as its standard input is open.

    mock_cluster.py BROKERS

The library is the one inside the confluent-kafka package. Prints `ready HOST:PORT,...`, then takes commands, one
per line, and answers each with `ok` or `error ...`:

    create TOPIC PARTITIONS
    leader TOPIC PARTITION BROKER   broker BROKER leads it from now on
    rtt BROKER MILLISECONDS         answers later

The mock checks neither checksums nor sequences: good for plumbing and moving leaders, not for exactly-once.
"""

import ctypes
import glob
import os
import sys

import confluent_kafka

site = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
(path,) = glob.glob(os.path.join(site, "confluent_kafka.libs", "librdkafka-*.so*"))
library = ctypes.CDLL(path)
pointer = ctypes.c_void_p
for name, result, arguments in [
    ("rd_kafka_new", pointer, [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]),
    ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
    ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [pointer]),
    ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    (
        "rd_kafka_mock_partition_set_leader",
        ctypes.c_int,
        [pointer, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32],
    ),
    ("rd_kafka_mock_broker_set_rtt", ctypes.c_int, [pointer, ctypes.c_int32, ctypes.c_int]),
]:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments

PRODUCER = 0


def obey(cluster, command, *arguments):
    match command:
        case "create":
            topic, partitions = arguments
            return library.rd_kafka_mock_topic_create(cluster, topic.encode(), int(partitions), 1)
        case "leader":
            topic, partition, broker = arguments
            return library.rd_kafka_mock_partition_set_leader(
                cluster, topic.encode(), int(partition), int(broker)
            )
        case "rtt":
            broker, milliseconds = map(int, arguments)
            return library.rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds)
    raise ValueError(f"unknown command {command}")


def main():
    message = ctypes.create_string_buffer(512)
    handle = library.rd_kafka_new(PRODUCER, None, message, len(message))
    if not handle:
        raise SystemExit(message.value.decode())
    cluster = library.rd_kafka_mock_cluster_new(handle, int(sys.argv[1]))
    print("ready", library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        try:
            code = obey(cluster, *line.split())
            print("ok" if code == 0 else f"error code {code}", flush=True)
        except Exception as error:
            print(f"error {error}", flush=True)


main()
