"""Reads all of a topic and checks each record, with clients that know nothing of us.

    many.py SERVERS TOPIC EVENTS KEYS       prints what it found; ends with an error when something is wrong
"""

import sys
import time
from array import array

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

ATTRIBUTES = {
    "specversion": "1.0",
    "source": "/many",
    "type": "thing.moved",
    "datacontenttype": "application/json",
    "dataversion": "3",
    "userid": "ada",
}


def check(record, keys):
    """The number of the event in `record`, and its id."""
    headers = dict(record.headers())
    assert len(headers) == len(record.headers()), "a header came twice"
    # The package takes every header for text.
    of_event = {k: v for k, v in headers.items() if not k.startswith("x-")}
    event = from_kafka_event(KafkaMessage(of_event, record.key(), record.value()))
    data = event.get_data()
    number = data["number"]
    assert data == {"number": number, "title": "Grüße", "filler": "x" * 150}, data
    found = event.get_attributes()
    key = f"key {number % keys}"
    wanted = ATTRIBUTES | {
        "subject": f"thing {number}",
        "partitionkey": key,
    }
    for name, value in wanted.items():
        assert found[name] == value, (name, found, wanted)
    assert set(found) == set(wanted) | {"id", "time"}, found
    assert record.key() == key.encode(), record.key()
    trace = f"00-{number + 1:032x}-{number + 1:016x}-01"
    assert headers["traceparent"] == trace.encode(), headers
    assert headers["x-binary"] == b"\x00\xff" + number.to_bytes(4, "big"), headers
    return number, event.get_id()


def records(servers, topic):
    """All records of `topic`, from its beginning to what is its end now."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "many-check"})
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions]
    marks = [consumer.get_watermark_offsets(place, timeout=60) for place in places]
    left = sum(high - low for low, high in marks)
    consumer.assign(places)
    while left:
        batch = consumer.consume(min(left, 10_000), timeout=60)
        assert batch, f"nothing came for a minute, {left} are left"
        for record in batch:
            assert record.error() is None, record.error()
            yield record
        left -= len(batch)
    consumer.close()


def main(servers, topic, events, keys):
    began = time.monotonic()
    ids = array("q", [0]) * events
    last = [-1] * keys
    seen = copies = 0
    for record in records(servers, topic):
        number, event_id = check(record, keys)
        name = hash(event_id) or 1
        if ids[number]:
            assert ids[number] == name, f"{number} came with two ids"
            copies += 1
            continue
        assert number > last[number % keys], f"{number} came after {last[number % keys]}"
        ids[number] = name
        last[number % keys] = number
        seen += 1
    missing = [number for number, name in enumerate(ids) if not name]
    assert not missing, f"{len(missing)} are missing: {missing[:10]}"
    print("events", seen)
    print("keys", sum(number >= 0 for number in last))
    print("copies", copies)
    print("seconds", time.monotonic() - began)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
