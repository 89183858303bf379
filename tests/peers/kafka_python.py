"""Sends N records per codec with kafka-python, idempotent and not.

Usage: kafka_python.py HOST:PORT N. Topics are kafka-python-<codec>[-idempotent]; record i is "record i
of <topic>" with the header n=i and, for even i, a key.
"""

import sys

from kafka import KafkaProducer

bootstrap, count = sys.argv[1], int(sys.argv[2])

for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    for idempotent in [False, True]:
        topic = f"kafka-python-{codec}" + ("-idempotent" if idempotent else "")
        producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            acks="all",
            linger_ms=5,
        )
        sent = []
        for i in range(count):
            key = f"key {i}".encode() if i % 2 == 0 else None
            value = f"record {i} of {topic}".encode()
            sent.append(producer.send(topic, value, key, headers=[("n", str(i).encode())]))
        producer.flush(30)
        for future in sent:
            future.get(timeout=30)
        producer.close()
        print(topic)
