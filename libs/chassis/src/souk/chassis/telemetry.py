"""Traces that go from the HTTP request through outbox, Kafka and every consumer to the last effect.

The trace's position travels as a W3C `traceparent`: from the gateway's header into the server span, from
there into the outbox row, from the row into the record's header, and from the record into what its
consumer writes. A timer keeps the position of who set it, for what is done when it is due. Without an
OTLP endpoint everything here is a cheap no-op.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

C = TypeVar("C", bound=Hashable)

_MOST_SPANS_A_BATCH = 64
_EXPORT_SECONDS = 5

_propagator = TraceContextTextMapPropagator()
_provider: "TracerProvider | None" = None
_tracer: Tracer = trace.NoOpTracer()
_timer_kind: ContextVar[str] = ContextVar("timer_kind", default="")


def configure(service: str, otlp: str = "", exporter: "SpanExporter | None" = None) -> None:
    """Export spans over OTLP/HTTP to the base URL `otlp`, or at once to `exporter`; neither: no tracing."""
    global _provider, _tracer  # noqa: PLW0603  one process has one tracer
    if not otlp and exporter is None:
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    _provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.namespace": "souk"}),
        shutdown_on_exit=False,
    )
    if exporter is not None:
        _provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        over_http = OTLPSpanExporter(endpoint=f"{otlp.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
        _provider.add_span_processor(BatchSpanProcessor(over_http, schedule_delay_millis=1000))
    _tracer = _provider.get_tracer("souk.chassis")


def shutdown() -> None:
    """Send what is buffered, in a few seconds at most. Blocks, so it is called from a thread."""
    if _provider is not None:
        _provider.force_flush(_EXPORT_SECONDS * 1000)
        _provider.shutdown()


def forget() -> None:
    """Trace no longer, and send nothing that is buffered."""
    global _provider, _tracer
    _provider, _tracer = None, trace.NoOpTracer()


def is_tracing() -> bool:
    return _provider is not None


def current_traceparent() -> str | None:
    """The position to store with what is written now (outbox row, timer row); None when not traced."""
    return _traceparent(trace.get_current_span())


@contextmanager
def server_span(method: str, path: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """Around one HTTP request; continues the gateway's trace when `headers` carry one."""
    if _provider is None:
        yield trace.INVALID_SPAN
        return
    parent = _propagator.extract(headers)
    attributes = {"http.request.method": method, "url.path": path}
    with _current_span(method, parent, SpanKind.SERVER, attributes) as span:
        yield span


@contextmanager
def consume_span(
    topic: str, traceparents: Sequence[str | None], causes: Sequence[Iterable[C]] = ()
) -> Iterator[Mapping[C, str]]:
    """Around the handler call for one topic's records of a batch; gives the traceparent for each cause.

    traceparents: the record header of each record, in order. causes: for each record the ids by which
    its consequences are found again (for `Work.trace_causes`). Every distinct trace gets a consumer span
    as a child in its own trace (64 at most, the newest); the span of the newest record is current and
    links to the others. An exception marks them all.
    """
    newest_first = list(dict.fromkeys(t for t in reversed(traceparents) if t))[:_MOST_SPANS_A_BATCH]
    if _provider is None or not newest_first:
        yield {}
        return
    spans: dict[str, Span] = {}
    with ExitStack() as ending:
        for traceparent in reversed(newest_first):
            links = [Link(span.get_span_context()) for span in spans.values()]
            span = _tracer.start_span(
                f"process {topic}",
                _context(traceparent),
                SpanKind.CONSUMER,
                {"messaging.system": "kafka", "messaging.destination.name": topic},
                links if traceparent == newest_first[0] else None,
            )
            spans[traceparent] = span
            ending.callback(span.end)
        by_cause = {
            cause: header
            for traceparent, ids in zip(traceparents, causes, strict=False)
            if traceparent in spans and (header := _traceparent(spans[traceparent]))
            for cause in ids
        }
        newest = spans[newest_first[0]]
        with trace.use_span(newest, record_exception=False, set_status_on_exception=False):
            try:
                yield by_cause
            except BaseException as error:
                for span in spans.values():
                    fail(span, error)
                raise


@contextmanager
def produce_span(topic: str, traceparent: str | None) -> Iterator[str | None]:
    """Around the send of one outbox row; gives the traceparent for the record's header."""
    if _provider is None or traceparent is None:
        yield traceparent
        return
    attributes = {"messaging.system": "kafka", "messaging.destination.name": topic}
    with _current_span(f"send {topic}", _context(traceparent), SpanKind.PRODUCER, attributes) as span:
        yield _traceparent(span)


@contextmanager
def work_span(name: str, traceparent: str | None = None, **attributes: str | int) -> Iterator[None]:
    """Around internal work (a timer, a job, a call to the outside), child of `traceparent` or current."""
    context = _context(traceparent) if traceparent else None
    with _current_span(name, context, SpanKind.INTERNAL, attributes):
        yield


@contextmanager
def timer_span(role: Literal["timer", "job"], kind: str, traceparent: str | None) -> Iterator[None]:
    """Around what is done because a timer of `kind` is due, child of the position that is kept with it."""
    token = _timer_kind.set(kind)
    try:
        with work_span(f"{role} {kind}", traceparent):
            yield
    finally:
        _timer_kind.reset(token)


def is_within_timer(kind: str) -> bool:
    """Whether this is done because a timer of `kind` is due."""
    return _timer_kind.get() == kind


def fail(span: Span, error: BaseException) -> None:
    """Mark what `error` ended by its type: its text may quote rows."""
    span.set_status(StatusCode.ERROR, type(error).__name__)


@contextmanager
def _current_span(
    name: str, context: Context | None, kind: SpanKind, attributes: Mapping[str, str | int]
) -> Iterator[Span]:
    with _tracer.start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            fail(span, error)
            raise


def _context(traceparent: str) -> Context:
    return _propagator.extract({"traceparent": traceparent}, Context())


def _traceparent(span: Span) -> str | None:
    context: SpanContext = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
