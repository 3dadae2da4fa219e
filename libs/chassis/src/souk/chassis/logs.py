"""JSON logs: one object a line on standard error, with the trace it belongs to and without secrets."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from souk.chassis.errors import explain

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|api_?key|credential|cookie|signature|private_key",
    re.IGNORECASE,
)
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"), "[token]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 [redacted]"),
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), "[address]"),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@"), r"\1:[redacted]@"),
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|token|api_?key|access_token|refresh_token)([\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+"
        ),
        r"\1\2[redacted]",
    ),
)
_LONGEST = 8000
_QUIET = (
    "aiokafka",
    "httpx",
    "httpcore",
    "faststream",
    "asyncio",
    "_granian",
    "granian",
    "sqlalchemy",
    "alembic",
)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, service, trace_id and span_id when traced, extras, exception."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            "service": self.service,
            **_trace(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in line:
                line[name] = "[redacted]" if _SECRET_NAME.search(name) else _plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact(_exception(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=False, default=str)


def _exception(error: BaseException | None) -> str:
    """An error and those behind it, each in the words of `explain` and with its trace.

    The last one is first, and the words are before the trace: what is too long is cut at its end.
    """
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nbehind it:\n".join(map(_one, chain))


def _one(error: BaseException) -> str:
    within = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    parts = [f"{explain(error)}\n", *traceback.format_tb(error.__traceback__)]
    return "".join([*parts, *(f"within it:\n{_exception(each)}" for each in within)])


def redact(text: str) -> str:
    """`text` without tokens, passwords in URLs and values that are named as secrets; bounded in length."""
    text = text[:_LONGEST]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {
            str(k): "[redacted]" if _SECRET_NAME.search(str(k)) else _plain(v)
            for k, v in list(value.items())[:100]
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in list(value)[:100]]
    return redact(str(value))


def _trace() -> dict[str, str]:
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def configure(service: str, level: str = "INFO") -> None:
    """Send every logger of the process through one JSON handler; libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
