"""Reads and writes CloudEvents on Kafka with clients that know nothing of us.

    interop.py read SERVERS TOPIC COUNT     prints one JSON line per record
    interop.py write SERVERS TOPIC          writes one event in each mode
"""

import base64
import json
import sys
from datetime import datetime, timezone

from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_kafka_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer


def text(value):
    return value.isoformat() if isinstance(value, datetime) else value


def seen(record):
    headers = dict(record.headers() or [])
    others = {k: v.decode() for k, v in headers.items() if k.startswith("x-")}
    message = KafkaMessage(headers=headers, key=record.key(), value=record.value() or b"")
    event = from_kafka_event(message)
    data = event.get_data()
    if isinstance(data, bytes):
        data = {"base64": base64.b64encode(data).decode()}
    return {
        "tombstone": record.value() is None,
        "key": record.key().decode() if record.key() else None,
        "attributes": {k: text(v) for k, v in event.get_attributes().items()},
        "data": data,
        "others": others,
    }


def read(servers, topic, count):
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"python-{topic}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    left = int(count)
    while left:
        record = consumer.poll(60)
        if record is None:
            sys.exit("nothing came for a minute")
        if record.error():
            sys.exit(str(record.error()))
        print(json.dumps(seen(record)))
        left -= 1
    consumer.close()


def write(servers, topic):
    event = CloudEvent(
        attributes={
            "id": "from-python",
            "source": "/python",
            "type": "task.created",
            "specversion": "1.0",
            "time": datetime(2026, 11, 21, 12, 30, 15, 250000, tzinfo=timezone.utc),
            "subject": "task 7",
            "datacontenttype": "application/json",
            "partitionkey": "7",
            "userid": "ada",
            "theirs": "kept",
        },
        data={"task": 7, "title": "Grüße"},
    )
    producer = Producer({"bootstrap.servers": servers})
    for convert in (to_binary_event, to_structured_event):
        message = convert(event)
        headers = list(message.headers.items()) + [("x-theirs", b"kept too")]
        producer.produce(topic, key=message.key, value=message.value, headers=headers)
    if producer.flush(60):
        sys.exit("not all was sent within a minute")


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
