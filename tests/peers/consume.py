"""Reads a whole topic as any consumer would (read_committed) and prints it, partition by partition.

    consume.py BOOTSTRAP TOPIC

One line per record: partition, offset, key and value in hexadecimal, separated by tabs; `-` for no key. Ends when
every partition was read up to the end that it had at the start.
"""

import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

DEADLINE_SECONDS = 60


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
    known = consumer.list_topics(topic, timeout=DEADLINE_SECONDS).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    for partition in sorted(known.partitions):
        here = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(here, timeout=DEADLINE_SECONDS)
        consumer.assign([TopicPartition(topic, partition, low)])
        position = low
        while position < high:
            message = consumer.poll(DEADLINE_SECONDS)
            if message is None:
                raise SystemExit(f"{topic}/{partition}: nothing behind offset {position} of {high}")
            if message.error():
                raise KafkaException(message.error())
            key = "-" if message.key() is None else message.key().hex()
            print(partition, message.offset(), key, message.value().hex(), sep="\t")
            position = message.offset() + 1
    consumer.close()


main()
