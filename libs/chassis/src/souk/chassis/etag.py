"""Versions as entity tags: an edit names the version that it was made on (RFC 9110 §13.1.1)."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Response

from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason

_STRONG_TAG = re.compile(r'"(\d{1,18})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The versions on which the caller accepts to make the edit; None stands for `*`, any."""

    versions: frozenset[int] | None

    def check(self, version: int) -> None:
        """Raises Refused(version_mismatch) unless the locked row's `version` is one of them."""
        if self.versions is not None and version not in self.versions:
            raise Refused(Reason.VERSION_MISMATCH, version=version)


def etag(version: int) -> str:
    """The entity tag of a resource at `version`."""
    return f'"{version}"'


def set_etag(response: Response, version: int) -> None:
    response.headers["ETag"] = etag(version)


async def if_match(
    if_match: Annotated[
        str | None, Header(description="ETag of the version that was read", max_length=200)
    ] = None,
) -> IfMatch:
    """Raises Refused(if_match_required) without the header. A weak or foreign tag never matches."""
    if if_match is None:
        raise Refused(Reason.IF_MATCH_REQUIRED)
    tags = [tag.strip() for tag in if_match.split(",")]
    if tags == ["*"]:
        return IfMatch(None)
    matches = (_STRONG_TAG.fullmatch(tag) for tag in tags)
    return IfMatch(frozenset(int(match[1]) for match in matches if match))


IfMatchDep = Annotated[IfMatch, Depends(if_match)]
"""`async def edit(…, expected: IfMatchDep)`, then `expected.check(row.version)` on the locked row."""
