"""Everything that is refused is an RFC 9457 problem, and says nothing about the inside."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from souk.chassis.problems import locale_of


async def test_refusal_names_its_reason_and_leaves_nothing(api):
    answer = await api.post({"name": "taken"}, "k1", **{"x-request-id": "r-1"})

    problem = answer.json()
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:souk:problem:conflict"
    assert (problem["reason"], problem["status"], problem["instance"]) == ("conflict", 409, "r-1")
    assert problem["detail"] == "the name is taken"
    assert problem["errors"] == [{"pointer": "/name", "detail": "in use"}]
    assert problem["name"] == "taken"
    assert await api.names() == []


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [
        (None, "en"),
        ("ja", "ja"),
        ("th-TH,th;q=0.9,en;q=0.1", "th"),
        ("fr, en;q=0.2, ja;q=0.8", "ja"),
        ("fr", "en"),
        ("ja;q=0", "en"),
        ("*;q=x,,;;", "en"),
    ],
)
def test_message_is_in_the_accepted_language(accepted, locale):
    assert locale_of(accepted) == locale


async def test_problem_speaks_japanese_and_thai(api):
    japanese = await api.client.get("/v1/none", headers={"Accept-Language": "ja"})
    thai = await api.client.get("/v1/none", headers={"Accept-Language": "th"})

    assert japanese.json()["title"] == "見つかりません"
    assert thai.json()["title"] == "ไม่พบข้อมูล"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": "x" * 51}, "/name"),
        ({"name": "x", "amount": "1.1234567"}, "/amount"),
        ({"name": "x", "amount": 5}, "/amount"),
        ({"name": "x", "amount": 5.5}, "/amount"),
        ({"name": "x", "amount": True}, "/amount"),
        ({"name": "x", "amount": "1e3"}, "/amount"),
        ({"name": "a\0b"}, "/name"),
        ([], ""),
    ],
)
async def test_invalid_body_is_answered_with_pointers(api, body, pointer):
    answer = await api.post(body, "k1")

    assert answer.status_code == 422
    assert answer.json()["reason"] == "invalid"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await api.names() == []


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"name": NaN}', b"[" * 100_000, b'{"name": "x"} y'])
async def test_malformed_json_is_named(api, body):
    answer = await api.client.post(
        "/v1/things", content=body, headers={"Content-Type": "application/json", "Idempotency-Key": "k"}
    )

    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed_json")


async def test_a_text_that_no_column_can_hold_is_named_however_deep_it_lies(api):
    body = "[" * 500 + '"\\u0000"' + "]" * 500

    answer = await api.client.post(
        "/v1/things", content=body, headers={"content-type": "application/json", "idempotency-key": "deep"}
    )

    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/0" * 500


async def test_other_media_types_are_refused(api):
    answer = await api.client.post(
        "/v1/things", content=b"name=x", headers={"Content-Type": "text/plain", "Idempotency-Key": "k"}
    )

    assert (answer.status_code, answer.json()["reason"]) == (415, "unsupported_media_type")


async def test_a_slip_in_a_filters_name_is_named_and_not_passed_over(api):
    answer = await api.client.get("/v1/things", params={"nmae": "x", "limit": "1"})

    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid")
    error = {"pointer": "/query/nmae", "detail": "known here: cursor, limit, name"}
    assert answer.json()["errors"] == [error]


async def test_hooks_let_others_add_parameters(api):
    assert (await api.client.post("/hooks/raw", params={"utm_source": "mail"})).status_code == 200


async def test_unknown_route_and_method_are_problems(api):
    unknown = await api.client.get("/v1/none")
    method = await api.client.delete("/v1/things")

    assert (unknown.status_code, unknown.json()["reason"]) == (404, "not_found")
    assert (method.status_code, method.json()["reason"]) == (405, "method_not_allowed")
    assert "POST" in method.headers["allow"] or "GET" in method.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/things", "/hooks/raw"])
async def test_bodies_over_a_mebibyte_are_refused_stated_or_chunked(api, path):
    async def chunks():
        for _ in range(20):
            yield b"x" * 65_536 * 2

    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    stated = await api.client.post(path, content=b"x" * (1024 * 1024 + 1), headers=headers)
    chunked = await api.client.post(path, content=chunks(), headers=headers)

    for answer in (stated, chunked):
        assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


async def test_path_and_query_errors_have_pointers(api):
    path = await api.client.patch("/v1/things/no-id", json={"name": "x"}, headers={"If-Match": '"1"'})
    query = await api.client.get("/v1/things?limit=201")
    nul = await api.client.get("/v1/things?name=a%00")

    assert path.json()["errors"][0]["pointer"] == "/path/thing_id"
    assert query.json()["errors"][0]["pointer"] == "/query/limit"
    assert nul.json()["errors"][0]["pointer"] == "/query/name"


async def test_fault_of_ours_tells_nothing_and_leaves_nothing(api, caplog):
    answer = await api.post({"name": "crash"}, "k1")

    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert any(record.message == "request failed" for record in caplog.records)
    assert await api.names() == []


async def test_get_cannot_write(api):
    answer = await api.client.get("/v1/things/write-while-reading")

    assert answer.status_code == 500
    assert await api.names() == []


async def test_database_away_is_unavailable_with_retry_after(api, admin_sql):
    database = api.units.engine.url.database
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    refused = {"route": "/v1/things", "method": "POST", "status": "503"}
    before = _requests(refused)
    slow = asyncio.create_task(api.post({"name": "slow"}, "k1"))
    await _until_sleeping(api)

    admin_sql(cut)
    answer = await slow
    retried = await api.post({"name": "slow"}, "k1")

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert retried.status_code == 201
    assert await api.names() == ["slow"]
    assert _requests(refused) == before + 1


def _requests(labels):
    return REGISTRY.get_sample_value("souk_http_request_duration_seconds_count", labels) or 0


async def _until_sleeping(api):
    async with asyncio.timeout(5):
        while True:
            async with api.units.begin(read_only=True) as work:
                result = await work.connection.exec_driver_sql(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE state = 'active' AND query LIKE '%pg_sleep(0%'"
                    " AND pid <> pg_backend_pid()"
                )
                if result.scalar():
                    return
            await asyncio.sleep(0.01)


async def test_commit_comes_before_the_response(api):
    """A constraint that PostgreSQL checks at commit: the client must not see a success."""
    answer = await api.post({"name": "doomed"}, "k1")

    assert answer.status_code == 500
    assert await api.names() == []


async def test_acknowledged_effect_is_visible_to_others_at_once(api):
    for number in range(20):
        answer = await api.post({"name": f"n{number}"}, f"k{number}")

        assert answer.status_code == 201
        assert f"n{number}" in await api.names()


async def test_edit_needs_the_version_that_was_read(api):
    made = (await api.post({"name": "old"}, "k1")).json()
    url = f"/v1/things/{made['id']}"

    without = await api.client.patch(url, json={"name": "new"})
    stale = await api.client.patch(url, json={"name": "new"}, headers={"If-Match": '"7"'})
    weak = await api.client.patch(url, json={"name": "new"}, headers={"If-Match": 'W/"1"'})
    fresh = await api.client.patch(url, json={"name": "new"}, headers={"If-Match": '"1"'})
    unknown = await api.client.patch(f"/v1/things/{uuid4()}", json={"name": "n"}, headers={"If-Match": "*"})

    assert (without.status_code, without.json()["reason"]) == (428, "if_match_required")
    assert (stale.status_code, stale.json()["version"]) == (412, 1)
    assert weak.status_code == 412
    assert fresh.status_code == 200
    assert unknown.status_code == 404


async def test_operation_routes_answer_without_token(api):
    async with httpx.AsyncClient(base_url=api.url) as anyone:
        live = await anyone.get("/health/live")
        ready = await anyone.get("/health/ready")
        pulse = await anyone.get("/internal/pulse")
        metrics = await anyone.get("/metrics")

    assert live.status_code == 200
    assert (ready.status_code, ready.json()["missing"]) == (503, {"intake": "no partitions are assigned yet"})
    assert pulse.json() == {"outbox": 0}
    assert "souk_outbox_rows" in metrics.text


async def test_openapi_describes_problems_tokens_and_keys(api):
    described = (await api.client.get("/openapi.json")).json()

    make = described["paths"]["/v1/things"]["post"]
    hook = described["paths"]["/hooks/raw"]["post"]
    problem = make["responses"]["default"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    assert "422" not in make["responses"]
    assert {"pointer", "detail"} == set(described["components"]["schemas"]["FieldError"]["properties"])
    assert make["operationId"] == "things_make_thing"
    assert make["security"] == [{"token": []}]
    assert "security" not in hook
    assert "default" in hook["responses"]
    key = next(p for p in make["parameters"] if p["name"].lower() == "idempotency-key")
    assert (key["required"], key["schema"]) == (True, {"type": "string"})
    assert not any(path.startswith(("/health", "/internal", "/metrics")) for path in described["paths"])
