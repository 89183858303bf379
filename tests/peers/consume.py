"""Reads a whole topic as any consumer would (read_committed) and prints it, partition by partition.

    consume.py BOOTSTRAP TOPIC

One line per record: partition, offset, key and value in hexadecimal, separated by tabs; `-` for no key. Ends when
every partition was read up to the end that it had at the start. What a client may meet while a broker is away is tried
again until the deadline.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

DEADLINE_SECONDS = 60
PAUSE_SECONDS = 0.2
# Said by librdkafka itself when a connection or the broker behind it went away in the middle of a request, and by
# brokers that became or ceased to be the leader; it does not call them all retriable.
PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._DESTROY_BROKER,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


def is_passing(error):
    return error.retriable() or error.code() in PASSING


def with_patience(request):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return request(max(1, deadline - time.monotonic()))
        except KafkaException as failure:
            if not is_passing(failure.args[0]) or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def partitions_of(consumer, topic, timeout):
    known = consumer.list_topics(topic, timeout=timeout).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    return sorted(known.partitions)


def main():
    bootstrap, topic = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "logdrive-tests",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "check.crcs": True,
            "auto.offset.reset": "error",
            "enable.partition.eof": False,
            "log_level": 3,
        }
    )
    for partition in with_patience(lambda timeout: partitions_of(consumer, topic, timeout)):
        here = TopicPartition(topic, partition)
        low, high = with_patience(lambda timeout, here=here: consumer.get_watermark_offsets(here, timeout=timeout))
        consumer.assign([TopicPartition(topic, partition, low)])
        position = low
        deadline = time.monotonic() + DEADLINE_SECONDS
        while position < high:
            message = consumer.poll(max(0, deadline - time.monotonic()))
            if message is None:
                raise SystemExit(f"{topic}/{partition}: nothing behind offset {position} of {high}")
            if message.error():
                if is_passing(message.error()):
                    continue
                raise KafkaException(message.error())
            deadline = time.monotonic() + DEADLINE_SECONDS
            key = "-" if message.key() is None else message.key().hex()
            print(partition, message.offset(), key, message.value().hex(), sep="\t")
            position = message.offset() + 1
    consumer.close()


main()
