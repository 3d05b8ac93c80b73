#!/usr/bin/env python3
"""What a Python program does with berth, with nats-py alone: `checks.py <check> <NATS URL> <subject root>`.

The worker has a pool `p` of 8 units with a grain of a second. Exit status 0: the check held.
"""

import asyncio
import json
import sys
from datetime import datetime, timedelta, timezone

import nats
from nats.errors import NoRespondersError, TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER

SECONDS_MAX = 30


def at(seconds):
    """A whole second, so many from now."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def order(start, end, quantity, **more):
    return {"pool": "p", "start_time": at(start), "end_time": at(end), "quantity": quantity, **more}


class Client:
    def __init__(self, connection, root):
        self.connection = connection
        self.root = root
        self.jetstream = connection.jetstream(timeout=SECONDS_MAX)

    async def ask(self, verb, body, headers=None):
        subject = f"{self.root}.v1.acme.{verb}"
        return await self.connection.request(subject, json.dumps(body).encode(), timeout=SECONDS_MAX, headers=headers)

    def stream(self, name):
        return f"{self.root.upper()}_{name}"


async def request_and_replay(client):
    body = order(60, 120, 2)
    first = await client.ask("reserve", body, {"Idempotency-Key": "order-1", "Berth-Actor": "alice"})
    reservation = json.loads(first.data)
    assert reservation["status"] == "Pending" and reservation["created_by"] == "alice", reservation
    assert not first.headers, first.headers
    again = await client.ask("reserve", body, {"Idempotency-Key": "order-1"})
    assert again.data == first.data, "a replay has the same bytes"
    assert again.headers == {"Berth-Replayed": "true"}, again.headers


async def refusal(client):
    reply = await client.ask("reserve", order(60, 120, 9))
    assert reply.headers[ERROR_CODE_HEADER] == "409", reply.headers
    assert reply.headers[ERROR_HEADER] == "insufficient_capacity", reply.headers
    error = json.loads(reply.data)["error"]
    assert error["code"] == "insufficient_capacity", error
    assert error["details"]["intervals"][0]["available"] == 8, error
    try:
        await client.ask("no_such_verb", {})
    except NoRespondersError:
        return
    raise AssertionError("a verb that nobody serves has a responder")


async def discovery(client):
    async def found(what):
        return json.loads((await client.connection.request(f"$SRV.{what}", b"", timeout=SECONDS_MAX)).data)

    ping = await found(f"PING.{client.root}")
    assert ping["type"] == "io.nats.micro.v1.ping_response" and ping["name"] == client.root, ping
    info = await found(f"INFO.{client.root}.{ping['id']}")
    subjects = {endpoint["name"]: endpoint["subject"] for endpoint in info["endpoints"]}
    assert subjects["reserve"] == f"{client.root}.v1.*.reserve", subjects
    assert subjects["pool_put"] == f"{client.root}.admin.v1.pool_put", subjects
    assert {endpoint["queue_group"] for endpoint in info["endpoints"]} == {client.root}, info
    await client.ask("list", {})
    stats = await found(f"STATS.{client.root}.{ping['id']}")
    count = next(endpoint["num_requests"] for endpoint in stats["endpoints"] if endpoint["name"] == "list")
    assert count == 1, stats


async def durable_submit(client):
    results = await client.jetstream.pull_subscribe(f"{client.root}.result.v1.acme.*", stream=client.stream("RESULT"))
    body = json.dumps(order(60, 120, 2)).encode()
    for _ in range(2):
        acknowledged = await client.jetstream.publish(
            f"{client.root}.submit.v1.acme.reserve", body, headers={"Idempotency-Key": "job-1"}
        )
        assert acknowledged.stream == client.stream("SUBMIT") and not acknowledged.duplicate, acknowledged
    first, again = [(await results.fetch(1, timeout=SECONDS_MAX))[0] for _ in range(2)]
    for result in (first, again):
        assert result.subject == f"{client.root}.result.v1.acme.reserve", result.subject
        assert result.headers["Idempotency-Key"] == "job-1", result.headers
    assert json.loads(first.data)["status"] == "Pending" and again.data == first.data, (first.data, again.data)
    replayed = [result.headers.get("Berth-Replayed") for result in (first, again)]
    assert sorted(replayed, key=str) == [None, "true"], replayed  # in whichever order
    receipt = await client.ask("receipt", {"idempotency_key": "job-1"})
    assert receipt.data == first.data, receipt.data


async def seen(next_event):
    """Both lives to their ends, applied as a consumer should: version = last + 1."""
    versions, kinds = {}, {}
    while sum(names[-1] in ("ended", "expired") for names in kinds.values()) < 2:
        event = await next_event()
        subject, version = event["subject"], event["data"]["version"]
        assert version == versions.get(subject, 0) + 1, (subject, version, versions)
        versions[subject] = version
        kinds.setdefault(subject, []).append(event["type"].split(".")[2])
    return kinds


async def live(client):
    """A reservation that starts and ends, and a hold that nobody confirms: their ids."""
    runs = json.loads((await client.ask("reserve", order(1, 3, 2))).data)["reservation_id"]
    held = json.loads((await client.ask("reserve", order(60, 120, 2, hold_seconds=1))).data)["reservation_id"]
    return runs, held


async def pull_consumer(client):
    subject = f"{client.root}.event.v1.acme.>"
    consumer = await client.jetstream.pull_subscribe(subject, durable="audit", stream=client.stream("EVENTS"))
    runs, held = await live(client)

    async def next_event():
        message = (await consumer.fetch(1, timeout=SECONDS_MAX))[0]
        await message.ack()
        event = json.loads(message.data)
        assert message.headers["Nats-Msg-Id"] == event["id"], message.headers
        assert message.headers["Content-Type"] == "application/cloudevents+json", message.headers
        return event

    kinds = await asyncio.wait_for(seen(next_event), SECONDS_MAX)
    assert kinds == {runs: ["placed", "active", "ended"], held: ["held", "expired"]}, kinds


async def push_consumer(client):
    runs, held = await live(client)
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
    subject = f"{client.root}.event.v1.*.reservation.p.*"
    consumer = await client.jetstream.subscribe(subject, stream=client.stream("EVENTS"), config=config)

    async def next_event():
        return json.loads((await consumer.next_msg(timeout=SECONDS_MAX)).data)

    kinds = await asyncio.wait_for(seen(next_event), SECONDS_MAX)
    assert kinds == {runs: ["placed", "active", "ended"], held: ["held", "expired"]}, kinds


async def locks(client):
    async def status(verb, body):
        reply = await client.ask(verb, body)
        assert not reply.headers, reply.headers
        return json.loads(reply.data)

    want = {"resource": "job-42", "ttl_seconds": 60}
    taken = await status("lock", {"requester": "worker-1", **want})
    assert taken["status"] == "ACQUIRED", taken
    assert (await status("lock", {"requester": "worker-2", **want}))["status"] == "ALREADY_HELD"
    both = await status("lock", [{"requester": "worker-1", **want}, {"requester": "worker-1", "resource": "job-43"}])
    assert [item["status"] for item in both] == ["ALREADY_HAD", "ACQUIRED"], both
    assert both[0]["release_token"] == taken["release_token"], both
    gone = {"requester": "worker-1", "resource": "job-42", "release_token": taken["release_token"]}
    assert (await status("unlock", gone))["status"] == "RELINQUISHED"
    next_one = await status("lock", {"requester": "worker-2", **want})
    assert next_one["fencing_token"] > taken["fencing_token"], (taken, next_one)


CHECKS = {
    check.__name__: check
    for check in (request_and_replay, refusal, discovery, durable_submit, pull_consumer, push_consumer, locks)
}


async def main(check, url, root):
    connection = await nats.connect(url)
    try:
        await asyncio.wait_for(CHECKS[check](Client(connection, root)), 2 * SECONDS_MAX)
    except NatsTimeout as error:
        raise AssertionError("no answer in time") from error
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
