"""Sends N records to topic `secured` with confluent-kafka (librdkafka) over TLS with SASL PLAIN.

Usage: confluent_secured.py HOST:PORT N CA CERTIFICATE KEY USER PASSWORD. Ends with 1 where they are not acknowledged.
"""

import sys

from confluent_kafka import Producer

bootstrap, count, ca, certificate, key, user, password = sys.argv[1:]
producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": ca,
        "ssl.certificate.location": certificate,
        "ssl.key.location": key,
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
        "enable.idempotence": True,
        "message.timeout.ms": 5000,
        "log_level": 0,
    }
)
failed = []
for i in range(int(count)):
    producer.produce(
        "secured", f"record {i}", partition=0, on_delivery=lambda error, _: error and failed.append(error)
    )
left = producer.flush(30)
if failed or left:
    sys.exit(f"{left} records unsent, errors: {failed[:3]}")
