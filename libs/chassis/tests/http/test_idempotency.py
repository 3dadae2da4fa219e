"""A POST that is sent again has its effect once."""

import asyncio
from typing import Annotated
from uuid import UUID

import httpx
from fastapi import Depends, Request, Response
from sqlalchemy import func, select, text

from souk.chassis import idempotency
from souk.chassis.http import Routes, WorkDep, application
from souk.chassis.server import served
from souk.chassis.tables import idempotency_key

KEYS = select(func.count()).select_from(idempotency_key)


async def test_key_is_required_where_something_is_created(api):
    answer = await api.post({"name": "a"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "idempotency_key_required")


async def test_same_request_replays_status_headers_and_body(api):
    first = await api.post({"name": "a", "amount": "12.345678"}, "k1")
    again = await api.post({"name": "a", "amount": "12.345678"}, '"k1"')

    assert first.json()["amount"] == "12.345678"
    assert (again.status_code, again.content) == (201, first.content)
    for header in ("location", "etag", "content-type"):
        assert again.headers[header] == first.headers[header]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await api.names() == ["a"]


async def test_other_request_with_the_same_key_is_refused(api):
    await api.post({"name": "a"}, "k1")

    other = await api.post({"name": "b"}, "k1")

    assert (other.status_code, other.json()["reason"]) == (422, "idempotency_key_reused")
    assert await api.names() == ["a"]


async def test_concurrent_requests_with_one_key_have_one_effect(api):
    answers = await asyncio.gather(*(api.post({"name": "slow"}, "k1") for _ in range(4)))

    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.content for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, True, True, True]
    assert await api.names() == ["slow"]


async def test_refusal_is_not_stored_so_a_retry_may_succeed(api):
    refused = await api.post({"name": "taken"}, "k1")
    crashed = await api.post({"name": "crash"}, "k1")
    invalid = await api.post({"name": 5}, "k1")
    accepted = await api.post({"name": "a"}, "k1")

    assert [a.status_code for a in (refused, crashed, invalid, accepted)] == [409, 500, 422, 201]


async def test_what_is_answered_is_stored_with_its_effect_whatever_its_status(units):
    routes = Routes(prefix="/v1/things", tags=["things"], public=True)

    @routes.post("")
    async def make(work: WorkDep) -> Response:
        name = str(work.new_id())
        await work.execute(text("INSERT INTO thing VALUES (gen_random_uuid(), :name, 1, 1)"), {"name": name})
        return Response(name, 409)

    app = application("things", routers=[routes], units=units, verifier=None)
    async with served(app) as url, httpx.AsyncClient() as client:
        first, again = [
            await client.post(f"{url}/v1/things", headers={"Idempotency-Key": "k1"}) for _ in range(2)
        ]

    assert (again.status_code, again.content) == (409, first.content)
    async with units.begin(read_only=True) as work:
        assert await work.scalar(text("SELECT count(*) FROM thing")) == 1


async def test_what_is_shown_once_is_neither_stored_nor_done_again(units):
    routes = Routes(prefix="/v1/things", tags=["things"], public=True)

    @routes.post("", shown_once=True)
    async def make(work: WorkDep, response: Response) -> str:
        await work.execute(text("INSERT INTO thing VALUES (gen_random_uuid(), 'a', 1, 1)"))
        response.headers["Location"] = "/v1/things/1"
        return "a secret"

    app = application("things", routers=[routes], units=units, verifier=None)
    async with served(app) as url, httpx.AsyncClient() as client:
        first, again, other = [
            await client.post(f"{url}/v1/things", headers={"Idempotency-Key": "k1"}, params=asked)
            for asked in ({}, {}, {"another": "request"})
        ]

    assert (first.status_code, first.json()) == (200, "a secret")
    problem = again.json()
    assert (again.status_code, problem["reason"], problem["location"]) == (409, "conflict", "/v1/things/1")
    assert other.json()["reason"] == "idempotency_key_reused"
    async with units.begin(read_only=True) as work:
        assert await work.scalar(select(idempotency_key.c.body)) is None
        assert await work.scalar(text("SELECT count(*) FROM thing")) == 1


async def test_a_repeatable_route_holds_nothing_while_it_asks_outside(units):
    routes = Routes(prefix="/v1/things", tags=["things"], public=True)

    async def asked(request: Request) -> bool:
        return request.state.unit.work is not None

    @routes.post("", repeatable=True)
    async def make(held: Annotated[bool, Depends(asked)], work: WorkDep) -> bool:
        return held

    app = application("things", routers=[routes], units=units, verifier=None)
    async with served(app) as url, httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/things", headers={"Idempotency-Key": "k1"})

    assert (answer.status_code, answer.json()) == (200, False)
    async with units.begin(read_only=True) as work:
        assert await work.scalar(KEYS) == 0


async def test_keys_of_two_people_do_not_meet(api):
    await api.post({"name": "a"}, "k1")
    other = api.issuer.token(sub=str(UUID(int=9)))

    answer = await api.post({"name": "b"}, "k1", Authorization=f"Bearer {other}")

    assert answer.status_code == 201
    assert await api.names() == ["a", "b"]


async def test_key_that_is_no_key_is_refused(api):
    for key in ("x" * 256, '""', "a\tb"):
        answer = await api.post({"name": "a"}, key)

        assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    assert await api.names() == []


async def test_keys_expire_after_a_day_in_bounded_steps(api):
    for number in range(5):
        await api.post({"name": "a"}, f"k{number}")
    async with api.units.begin() as work:
        await work.execute(
            text("UPDATE idempotency_key SET created_at = now() - interval '25 hours' WHERE key <> 'k4'")
        )

    removed = []
    for _ in range(3):
        async with api.units.begin() as work:
            removed.append(await idempotency.remove_expired(work, limit=3))

    assert removed == [3, 1, 0]
    async with api.units.begin(read_only=True) as work:
        assert await work.scalar(KEYS) == 1


async def test_erased_person_is_in_no_stored_response(api):
    made = (await api.post({"name": "a"}, "k1")).json()

    async with api.units.begin() as work:
        await idempotency.forget(work, UUID(made["id"]))
    again = await api.post({"name": "a"}, "k1")

    assert (again.status_code, again.content) == (201, b"")
    assert await api.names() == ["a"]
