"""What a service tells about itself: traces, metrics, logs."""

import io
import json
import logging
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi import Request
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Enum, literal, select, text

from souk.chassis import metrics, telemetry
from souk.chassis.http import Routes, application
from souk.chassis.logs import JsonFormatter, redact
from souk.chassis.metrics_document import document
from souk.chassis.server import served
from souk.chassis.unit import work_of

FROM_GATEWAY = "00-11111111111111111111111111111111-2222222222222222-01"
DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    telemetry.configure("things", exporter=exporter)
    yield exporter
    telemetry.forget()


async def test_trace_goes_from_the_gateway_to_the_last_effect(spans):
    routes = Routes(prefix="/v1/things", tags=["things"], public=True)

    @routes.get("/{thing_id}")
    async def thing(thing_id: int) -> str:
        return telemetry.current_traceparent() or ""

    app = application("things", routers=[routes], units=None, verifier=None)
    async with served(app) as url, httpx.AsyncClient() as client:
        outbox_row = (await client.get(f"{url}/v1/things/7", headers={"traceparent": FROM_GATEWAY})).json()

    with telemetry.produce_span("things.v1", outbox_row) as header:
        pass
    with telemetry.consume_span("things.v1", [header], [[UUID(int=7)]]) as causes:
        next_row = causes[UUID(int=7)]
        assert telemetry.current_traceparent() == next_row

    by_name = {span.name: span for span in spans.get_finished_spans()}
    request, send, consume = (
        by_name[name] for name in ("GET /v1/things/{thing_id}", "send things.v1", "process things.v1")
    )
    assert {f"{span.context.trace_id:x}" for span in (request, send, consume)} == {"1" * 32}
    assert f"{request.parent.span_id:x}" == "2" * 16
    assert send.parent.span_id == request.context.span_id
    assert consume.parent.span_id == send.context.span_id
    assert next_row == f"00-{'1' * 32}-{consume.context.span_id:016x}-01"
    assert request.attributes["http.response.status_code"] == 200


def test_batch_of_several_traces_continues_each_of_them(spans):
    headers = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2, 3)]
    ids = [[UUID(int=number)] for number in (1, 2, 3)]

    with telemetry.consume_span(
        "things.v1", [*headers, None, headers[0]], [*ids, [UUID(int=4)], [UUID(int=5)]]
    ) as causes:
        current = trace.get_current_span().get_span_context()

    assert {cause.int: int(header.split("-")[1], 16) for cause, header in causes.items()} == {
        1: 1,
        2: 2,
        3: 3,
        5: 1,
    }
    assert current.trace_id == 1
    finished = spans.get_finished_spans()
    assert sorted(span.context.trace_id for span in finished) == [1, 2, 3]
    newest = next(span for span in finished if span.context.trace_id == 1)
    assert {link.context.trace_id for link in newest.links} == {2, 3}


def test_failed_batch_marks_every_span(spans):
    headers = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]

    with pytest.raises(KeyError), telemetry.consume_span("things.v1", headers):
        raise KeyError

    assert [span.status.status_code.name for span in spans.get_finished_spans()] == ["ERROR", "ERROR"]


def test_without_an_endpoint_nothing_is_traced_but_positions_travel_on():
    with telemetry.produce_span("things.v1", FROM_GATEWAY) as header:
        assert header == FROM_GATEWAY
    with telemetry.consume_span("things.v1", [FROM_GATEWAY], [[1]]) as causes:
        assert causes == {}


async def test_requests_are_measured_by_route_method_and_status(api):
    labels = ("/v1/things/{thing_id}", "PATCH", "428")
    before = metrics.HTTP_REQUEST_SECONDS.labels(*labels)._sum.get()

    await api.client.patch(f"/v1/things/{UUID(int=5)}", json={"name": "x"})
    await api.client.get("/v1/none/at/all")

    scraped = (await api.client.get("/metrics")).text
    assert metrics.HTTP_REQUEST_SECONDS.labels(*labels)._sum.get() > before
    assert 'route="unmatched"' in scraped
    assert "at/all" not in scraped


def test_metrics_document_is_what_the_list_says():
    assert (DOCS / "metrics.md").read_text() == document(), (
        "run: python -m souk.chassis.metrics_document > docs/metrics.md"
    )


@pytest.fixture
def lines():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("things"))
    logger = logging.getLogger("souk")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_log_line_is_json_with_its_trace_and_extras(spans, lines):
    with telemetry.work_span("poll", FROM_GATEWAY):
        logging.getLogger("souk.test").info("polled %s", "ほげ", extra={"posts": 3, "account": UUID(int=1)})

    (line,) = lines()
    assert (line["level"], line["logger"], line["message"]) == ("info", "souk.test", "polled ほげ")
    assert (line["service"], line["posts"], line["account"]) == ("things", 3, str(UUID(int=1)))
    assert line["trace_id"] == "1" * 32
    assert len(line["span_id"]) == 16
    assert line["time"].endswith("+00:00")


async def test_no_value_of_a_row_reaches_logs_or_spans(units, spans, lines):
    routes = Routes(prefix="/v1/things", tags=["things"], public=True)
    iban = "ES9121000418450200051332"

    @routes.get("/{fault}")
    async def thing(fault: str, request: Request) -> int:
        work = await work_of(request)
        if fault == "argument":
            return await work.scalar(text("SELECT CAST(:n AS int)"), {"n": iban})
        if fault == "no id":
            return await work.scalar(text("SELECT CAST(:n AS uuid)"), {"n": iban})
        if fault == "copy":
            driver = (await work.connection.get_raw_connection()).driver_connection
            await driver.copy_records_to_table("thing", records=[(iban,)], columns=["id"])
        if fault == "type":
            return await work.scalar(select(literal(iban, Enum("no", "other", native_enum=False))))
        if fault == "cast":
            return await work.scalar(text("SELECT CAST(CAST(:n AS text) AS int)"), {"n": iban})
        if fault == "row":
            await work.connection.exec_driver_sql("SET TRANSACTION READ WRITE")
            row = {"id": UUID(int=1), "name": iban}
            await work.execute(text("INSERT INTO thing (id, name, amount) VALUES (:id, :name, 1)"), row)
        return iban

    app = application("things", routers=[routes], units=units, verifier=None)
    async with served(app) as url, httpx.AsyncClient() as client:
        for fault in ("argument", "no id", "copy", "type", "cast", "row", "response"):
            assert (await client.get(f"{url}/v1/things/{fault}")).status_code == 500

    told = lines()
    for line, said in zip(
        told,
        (
            "DataError: 22000",
            "DataError: 22000",
            "ValueError\n",
            "LookupError\n",
            "InvalidTextRepresentationError: 22P02",
            'NotNullViolationError: 23502 null value in column "version" of relation "thing" violates',
            "ResponseValidationError: response: Input should be a valid integer",
        ),
        strict=True,
    ):
        assert said in line["exception"]
    assert "in thing" in told[0]["exception"]
    finished = spans.get_finished_spans()
    assert {span.status.status_code.name for span in finished} == {"ERROR"}
    for written in (json.dumps(told), *(span.to_json() for span in finished)):
        assert iban not in written


def test_errors_behind_and_within_an_error_are_told(lines):
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ExceptionGroup("two", [ValueError("second"), OSError("third")]) from error
    except ExceptionGroup:
        logging.getLogger("souk.test").exception("failed")

    (line,) = lines()
    order = [line["exception"].index(said) for said in ("ExceptionGroup: two", "second", "third", "first")]
    assert order == sorted(order)


def test_no_secret_reaches_a_log_line(lines):
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    logger = logging.getLogger("souk.test")

    logger.info("to postgresql://billing:hunter2@db:5432/billing with Bearer %s", token)
    logger.info(
        "x", extra={"password": "hunter2", "authorization": "hunter2", "nested": {"api_key": "hunter2"}}
    )
    logger.info('{"access_token": "hunter2", "fine": 1} key=1 token=hunter2&y=1')
    try:
        raise ValueError(f"redis://:hunter2@cache/0 {token}")
    except ValueError:
        logger.exception("failed")

    logger.warning("the server refused <someone+else@example.co.uk>")

    written = json.dumps(lines())
    assert "hunter2" not in written
    assert "someone" not in written
    assert token not in written
    assert "c2lnbmF0dXJl" not in written
    assert "postgresql://billing:[redacted]@db" in written
    assert len(redact("x" * 100_000)) < 10_000
