"""Sends N records per codec with confluent-kafka (librdkafka), idempotent and not.

Usage: confluent.py HOST:PORT N. Topics are confluent-<codec>[-idempotent]; record i is "record i of
<topic>" with the header n=i and, for even i, a key.
"""

import sys

from confluent_kafka import Producer

bootstrap, count = sys.argv[1], int(sys.argv[2])

for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    for idempotent in [False, True]:
        topic = f"confluent-{codec}" + ("-idempotent" if idempotent else "")
        producer = Producer({
            "bootstrap.servers": bootstrap,
            "compression.type": codec,
            "enable.idempotence": idempotent,
            "linger.ms": 5,
        })
        failed = []

        def delivered(error, _message):
            if error is not None:
                failed.append(error)

        for i in range(count):
            key = f"key {i}" if i % 2 == 0 else None
            while True:
                try:
                    producer.produce(topic, f"record {i} of {topic}", key, headers=[("n", str(i))],
                                     partition=0, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(30)
        if failed or left:
            sys.exit(f"{topic}: {left} records unsent, errors: {failed[:3]}")
        print(topic)
