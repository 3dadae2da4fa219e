"""Errors in the shape that Google's APIs answer them (https://developers.google.com/youtube/v3/docs/errors)."""

from typing import Any

_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_QUOTA = (
    "The request cannot be completed because you have exceeded your "
    '<a href="/youtube/v3/getting-started#quota">quota</a>.'
)


class GoogleError(Exception):
    """A call that is refused. reason and domain: what tells one refusal from another."""

    def __init__(
        self, code: int, message: str, reason: str, domain: str = "youtube.parameter", location: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.domain = domain
        self.location = location

    def body(self) -> dict[str, Any]:
        cause = {"message": self.message, "domain": self.domain, "reason": self.reason}
        if self.location:
            cause |= {
                "location": self.location,
                "locationType": "other" if self.location == "parameters." else "parameter",
            }
        error: dict[str, Any] = {"code": self.code, "message": self.message, "errors": [cause]}
        # YouTube's own refusals carry no status, those of the platform below it do.
        if self.domain == "global":
            error["status"] = _STATUS.get(self.code, "UNKNOWN")
        return {"error": error}


def no_key() -> GoogleError:
    return GoogleError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
        "forbidden",
        "global",
    )


def wrong_key() -> GoogleError:
    return GoogleError(400, "API key not valid. Please pass a valid API key.", "badRequest", "global")


def quota_spent() -> GoogleError:
    return GoogleError(403, _QUOTA, "quotaExceeded", "youtube.quota")


def failure(code: int, reason: str | None) -> GoogleError:
    """A failure of Google's own, or the one that `reason` names."""
    if reason == "quotaExceeded":
        return quota_spent()
    return GoogleError(code, "Internal error encountered.", reason or "backendError", "global")


def parameter(name: str, message: str, reason: str) -> GoogleError:
    return GoogleError(400, message, reason, location=name)


def unknown_parameter(name: str) -> GoogleError:
    return GoogleError(
        400,
        f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
        f"Field '{name}' could not be found in request message.",
        "invalid",
        "global",
    )
