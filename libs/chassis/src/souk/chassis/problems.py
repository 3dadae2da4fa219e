"""Refusals as RFC 9457 problems: one shape for everything that a request can be told "no" with.

A handler raises `Refused` with a reason of the closed set; status, title and messages come from the
table in `souk.contracts.reasons`. Frameworks' own errors are turned into the same shape.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from souk.contracts.reasons import PROBLEMS, Locale, Reason

MEDIA_TYPE = "application/problem+json"
LOCALES: tuple[Locale, ...] = get_args(Locale)
_RETRY_AFTER_SECONDS = 2
_MOST_ERRORS = 100


class FieldError(BaseModel):
    """One wrong place in the request.

    pointer: RFC 6901 pointer into the body, or `/query/<name>`, `/path/<name>`, `/header/<name>`.
    """

    model_config = ConfigDict(frozen=True)

    pointer: str
    detail: str


class ProblemDetails(BaseModel):
    """RFC 9457 problem, as every operation may answer it."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: Annotated[str, Field(examples=["urn:souk:problem:invalid"])]
    title: Annotated[str, Field(description="what is wrong, in the language of Accept-Language (en, ja, th)")]
    status: int
    reason: Annotated[str, Field(description="for programs; one of a closed set")]
    detail: str | None = None
    instance: Annotated[str | None, Field(description="the request's id")] = None
    errors: list[FieldError] | None = None


class Refused(Exception):
    """The rules refuse this; nothing of the unit of work remains.

    detail: one English sentence about this very case. errors: the wrong fields, if fields are wrong.
    extensions: further members of the problem (JSON values), for programs.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extensions = extensions


def unavailable(detail: str | None = None) -> Refused:
    """A part this request needs is away for the moment; the client is told when to come again."""
    return Refused(Reason.UNAVAILABLE, detail, headers={"Retry-After": str(_RETRY_AFTER_SECONDS)})


def locale_of(accept_language: str | None) -> Locale:
    """The best of our locales for an Accept-Language header (RFC 9110 §12.5.4); en when none fits."""
    best: Locale = "en"
    best_weight = 0.0
    for part in (accept_language or "")[:500].split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = _weight(parameters)
        language = tag.strip().lower().split("-")[0]
        for locale in LOCALES:
            if language in (locale, "*") and weight > best_weight:
                best, best_weight = locale, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(1.0, float(value))
    except ValueError:
        return 0.0


def problem_response(request: Request, refused: Refused) -> JSONResponse:
    """`refused` in the caller's language, with the request's id as its instance."""
    problem = PROBLEMS[refused.reason]
    locale = locale_of(request.headers.get("accept-language"))
    body: dict[str, Any] = {
        **refused.extensions,
        "type": f"urn:souk:problem:{refused.reason}",
        "title": problem.message(locale),
        "status": problem.status,
        "reason": str(refused.reason),
    }
    if refused.detail is not None:
        body["detail"] = refused.detail
    if request_id := request.headers.get("x-request-id"):
        body["instance"] = request_id[:200]
    if refused.errors:
        body["errors"] = [error.model_dump() for error in refused.errors[:_MOST_ERRORS]]
    headers = {**refused.headers, "Content-Language": locale, "Cache-Control": "no-store"}
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


def invalid(errors: Sequence[Mapping[str, Any]]) -> Refused:
    """Pydantic's errors as one `invalid` problem with a pointer for each."""
    return Refused(
        Reason.INVALID,
        errors=[FieldError(pointer=pointer(e["loc"]), detail=str(e["msg"])) for e in errors[:_MOST_ERRORS]],
    )


def pointer(location: Sequence[str | int]) -> str:
    """JSON pointer (RFC 6901) of a Pydantic location; `body` is the root of the document."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in location]
    if steps and steps[0] == "body":
        steps = steps[1:]
    return "".join(f"/{step}" for step in steps)
