"""HTTP conventions of every service: one unit of work a request, problems, limits, OpenAPI.

A `Routes` router opens the unit of work when an endpoint asks for it and commits before the response
leaves, so an acknowledged request has its effect; an exception, a refusal included, rolls it back.
"""

import json
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from importlib.metadata import version
from typing import Annotated, Any, NoReturn, cast

from asyncpg import InterfaceError, InternalClientError, PostgresError
from fastapi import APIRouter, Depends, FastAPI, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from souk.chassis import auth, idempotency
from souk.chassis.amount import JsonNumber
from souk.chassis.database import is_transient
from souk.chassis.problems import (
    MEDIA_TYPE,
    FieldError,
    ProblemDetails,
    Refused,
    invalid,
    pointer,
    problem_response,
    unavailable,
)
from souk.chassis.requests import Limited, Observed
from souk.chassis.unit import Unit, work_of
from souk.chassis.work import Units, Work
from souk.contracts.reasons import Reason

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
_MANDATORY = {"if-match", "idempotency-key"}
_SAFE = {"GET", "HEAD", "OPTIONS"}
_SCHEME = "token"
_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_PROBLEM_RESPONSE: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Problem (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


WorkDep = Annotated[Work, Depends(work_of)]


class TransactionalRoute(APIRoute):
    """Asks for a valid token before query, body or key are looked at, and commits the request's unit of work
    before the response is sent.

    By itself: a dependency with the scheme below it would cost a request more than the token's check.
    """

    public = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if not self.public:
            options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "security": [{_SCHEME: []}]}
        super().__init__(*arguments, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        read_only = (self.methods or set()) <= _SAFE
        public = self.public
        repeatable = any(each.dependency is idempotency.needless for each in self.dependencies)
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, params.Form)
        known = _query_names(self.dependant)

        async def transact(request: Request) -> Response:
            who = None if public else await auth.authenticate(request)
            _refuse_nul(request)
            if not public and request.scope["query_string"]:
                _refuse_unknown(request, known)
            if takes_json:
                await _read_json(request)
            unit = Unit(request.app.state.units, read_only)
            request.state.unit = unit
            async with unit.stack:
                takes_key = request.method == "POST" and not repeatable
                key = idempotency.key_of(request) if takes_key else None
                if key is None:
                    return await answer(request)
                caller = "public" if who is None else str(who.user_id)
                return await idempotency.once(
                    await work_of(request), request, caller, key, lambda: answer(request)
                )

        return transact


class PublicRoute(TransactionalRoute):
    """Without a token."""

    public = True


class Routes(APIRouter):
    """A router of one resource, `Routes(prefix="/v1/campaigns", tags=["campaigns"])`.

    Every route needs a valid token and refuses query parameters that it doesn't know, unless the router is
    `public` (web hooks with their own signature, one-click unsubscribe: mailers and shops add their own).
    `post(…, idempotent=True)` requires an Idempotency-Key; other POSTs honour one when it is sent, unless
    they are `repeatable`.
    """

    def __init__(self, *, prefix: str, tags: list[str], public: bool = False) -> None:
        super().__init__(
            prefix=prefix,
            tags=list(tags),
            route_class=PublicRoute if public else TransactionalRoute,
            responses=_PROBLEM_RESPONSE,
        )

    def post(  # type: ignore[override]
        self,
        path: str,
        *,
        idempotent: bool = False,
        repeatable: bool = False,
        shown_once: bool = False,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As FastAPI's, and `idempotent` for a POST that creates something or moves money.

        shown_once: the response holds a secret and is not stored. With the same Idempotency-Key the request
        is answered 409 `conflict` and not done again.
        repeatable: sent again it has no further effect by itself. An Idempotency-Key is not needed and not
        looked at, so that no unit of work is open, nor the key's row locked, before the endpoint asks for
        one: a dependency declared ahead of that may ask somebody outside.
        """
        marks = (
            (idempotent, idempotency.required),
            (repeatable, idempotency.needless),
            (shown_once, idempotency.secret),
        )
        marked = [Depends(mark) for wanted, mark in marks if wanted]
        options["dependencies"] = [*options.get("dependencies", ()), *marked]
        return super().post(path, **options)


async def _read_json(request: Request) -> None:
    """Parse the body once, before validation. Raises Refused(unsupported_media_type | malformed_json)."""
    body = await request.body()
    if not body:
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise Refused(Reason.UNSUPPORTED_MEDIA_TYPE)
    try:
        value = json.loads(body, parse_int=JsonNumber, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        where = (
            f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else None
        )
        raise Refused(Reason.MALFORMED_JSON, where) from None
    if b"\\u0000" in body and (place := _pointer_of_nul(value)) is not None:
        raise Refused(Reason.INVALID, errors=[FieldError(pointer=place, detail="no text holds U+0000")])
    request._json = value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _pointer_of_nul(value: object) -> str | None:
    """Where a string holds U+0000, which no PostgreSQL text can hold; how deep is the caller's choice."""
    found = [("", value)]
    while found:
        place, value = found.pop()
        if isinstance(value, str):
            if "\0" in value:
                return place
        elif isinstance(value, dict):
            if any("\0" in key for key in value):
                return place
            found += [(f"{place}/{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            found += [(f"{place}/{number}", each) for number, each in enumerate(value)]
    return None


def _refuse_nul(request: Request) -> None:
    query = request.query_params.multi_items() if request.scope["query_string"] else ()
    for place, values in (("path", request.path_params.items()), ("query", query)):
        for name, value in values:
            if "\0" in str(value):
                error = FieldError(pointer=f"/{place}/{name}", detail="no text holds U+0000")
                raise Refused(Reason.INVALID, errors=[error])


def _query_names(dependant: Dependant) -> set[str]:
    """Of an endpoint and of all that it depends on."""
    return {field.alias for field in dependant.query_params}.union(*map(_query_names, dependant.dependencies))


def _refuse_unknown(request: Request, known: Collection[str]) -> None:
    """A filter with a slip in its name would otherwise let everything through."""
    if unknown := [name for name in request.query_params if name not in known]:
        detail = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
        errors = [FieldError(pointer=pointer(("query", name[:100])), detail=detail) for name in unknown]
        raise Refused(Reason.INVALID, errors=errors)


def application(
    name: str,
    *,
    routers: Sequence[APIRouter],
    units: Units,
    verifier: auth.Verifier,
    permissions_of: auth.PermissionsOf | None = None,
) -> FastAPI:
    """The service's API with the conventions applied; OpenAPI at /openapi.json."""
    app = FastAPI(
        title=f"souk {name}",
        version=version("souk-chassis"),
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        middleware=[Middleware(Observed), Middleware(Limited, most=MAX_BODY_BYTES)],
    )
    app.state.units = units
    app.state.verifier = verifier
    app.state.permissions_of = permissions_of
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for error in _PERHAPS_TRANSIENT:
        app.add_exception_handler(error, _unavailable)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = describe()
            _tell_mandatory_headers(document)
            components = document.setdefault("components", {})
            components.setdefault("securitySchemes", {})[_SCHEME] = _BEARER
            schemas = components.setdefault("schemas", {})
            problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs", {})
            schemas["Problem"] = problem
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _tell_mandatory_headers(document: dict[str, Any]) -> None:
    """Headers whose absence has a problem of its own are optional to FastAPI, and mandatory all the same."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "header" and parameter["name"] in _MANDATORY:
                    parameter |= {"required": True, "schema": {"type": "string"}}


def _operation_id(route: APIRoute) -> str:
    return "_".join([*(str(tag).replace("-", "_") for tag in route.tags[:1]), route.name])


_PERHAPS_TRANSIENT: tuple[type[Exception], ...] = (
    *(SQLAlchemyError, PostgresError, InterfaceError, InternalClientError, OSError),
)
"""What the database's absence comes as: the driver's own, and what SQLAlchemy makes of it."""

_REASONS = {
    404: Reason.NOT_FOUND,
    405: Reason.METHOD_NOT_ALLOWED,
    413: Reason.TOO_LARGE,
    415: Reason.UNSUPPORTED_MEDIA_TYPE,
    429: Reason.RATE_LIMITED,
}


async def _refused(request: Request, error: Exception) -> Response:
    return problem_response(request, cast("Refused", error))


async def _invalid(request: Request, error: Exception) -> Response:
    return problem_response(request, invalid(cast("RequestValidationError", error).errors()))


async def _http_error(request: Request, error: Exception) -> Response:
    refused = cast("HTTPException", error)
    reason = _REASONS.get(refused.status_code, Reason.INVALID)
    return problem_response(request, Refused(reason, headers=refused.headers))


async def _unavailable(request: Request, error: Exception) -> Response:
    """A lost database is the caller's to wait for; every other error is ours, and stays an error."""
    if not is_transient(error):
        raise error
    _log.warning("database away", extra={"error": type(error).__name__, "path": request.url.path})
    return problem_response(request, unavailable())
