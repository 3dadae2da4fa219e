"""A receiver of spans over OTLP/HTTP that keeps those of the traces that a test watches."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

_LARGEST_BODY = 16 << 20
_MOST_SPANS = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """service: that sent it. parent: empty for a root."""

    service: str
    name: str
    id: str
    parent: str


@dataclass
class Collector:
    """What was received, by trace. url: what SOUK_OTLP is set to."""

    url: str = ""
    watched: set[str] = field(default_factory=set)
    _spans: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def keep(self, request: ExportTraceServiceRequest) -> None:
        with self._arrived:
            for resource in request.resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        trace = span.trace_id.hex()
                        if trace in self.watched and len(self._spans[trace]) < _MOST_SPANS:
                            self._spans[trace].append(
                                Span(
                                    names["service.name"],
                                    span.name,
                                    span.span_id.hex(),
                                    span.parent_span_id.hex(),
                                )
                            )
            self._arrived.notify_all()

    def wait(self, trace: str, enough: Callable[[Sequence[Span]], bool], seconds: float) -> list[Span]:
        """The spans of a watched trace as soon as they are `enough`, or what there is when time is up."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while not enough(self._spans[trace]) and time.monotonic() < deadline:
                self._arrived.wait(1)
            return list(self._spans[trace])


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            if self.path != "/v1/traces" or size > _LARGEST_BODY:
                self.send_error(404)
                return
            collector.keep(ExportTraceServiceRequest.FromString(self.rfile.read(size)))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
