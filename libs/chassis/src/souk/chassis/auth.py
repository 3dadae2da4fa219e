"""Who is asking: bearer tokens of an OIDC issuer, checked again behind the gateway (RFC 9068, RFC 8725).

Claims: iss, aud, exp, iat, `sub` (user id, or influencer id for influencers), `role`, and `org` for
everyone but influencers. What a role may do is the matrix in `souk.contracts.permissions`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, get_args
from uuid import UUID

from fastapi import Depends, Request, params

from souk.chassis.problems import Refused
from souk.chassis.unit import work_of
from souk.chassis.work import Work
from souk.contracts.ids import InfluencerId, OrganisationId, UserId
from souk.contracts.permissions import DEFAULTS, Area, Level, Role
from souk.contracts.reasons import Reason

ROLES: tuple[Role, ...] = get_args(Role)
LevelName = Literal["view", "manage", "manage_and_delete"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `user_id` is the token's subject, for influencers the same id as `influencer_id`;
    `organisation_id` is None for influencers."""

    role: Role
    user_id: UserId
    organisation_id: OrganisationId | None
    influencer_id: InfluencerId | None


PermissionsOf = Callable[[Work, Principal], Awaitable[Mapping[Area, Level]]]
"""The levels that the caller's own organisation gave them: they override the matrix area by area.

Empty when there are none: what another organisation says of the same subject does not count."""


class Verifier(Protocol):
    async def verify(self, token: str) -> Principal:
        """Raises Refused(unauthenticated) for a token that isn't right in every respect."""
        ...


async def authenticate(request: Request) -> Principal:
    """The caller by the bearer token (RFC 6750), verified once a request.

    Raises Refused(unauthenticated), with `WWW-Authenticate` saying whether a token was missing or wrong.
    """
    known: Principal | None = getattr(request.state, "principal", None)
    if known is not None:
        return known
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(Reason.UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
    verifier: Verifier = request.app.state.verifier
    request.state.principal = found = await verifier.verify(token.strip())
    return found


PrincipalDep = Annotated[Principal, Depends(authenticate)]


def allowed(area: Area, level: LevelName) -> params.Depends:
    """Dependency that gives the Principal when their level in `area` is at least `level`.

    `who: Annotated[Principal, allowed("campaign", "manage")]`. Raises Refused(forbidden) else. Which
    rows they reach is the query's tenant filter, never this.
    """
    least = Level[level.upper()]

    async def permitted(request: Request) -> Principal:
        who = await authenticate(request)
        if await level_of(request, who, area) < least:
            raise Refused(Reason.FORBIDDEN, area=area, level=level)
        return who

    return params.Depends(permitted)


async def level_of(request: Request, who: Principal, area: Area) -> Level:
    """The caller's own level in `area` when the service knows one, else the matrix's."""
    permissions_of: PermissionsOf | None = request.app.state.permissions_of
    if permissions_of is not None and who.influencer_id is None:
        own = await permissions_of(await work_of(request), who)
        if area in own:
            return own[area]
    return DEFAULTS[who.role].get(area, Level.NONE)


def subject_of(claims: Mapping[str, object]) -> Principal:
    """The principal that verified claims name. Raises ValueError when they name none."""
    role = claims.get("role")
    if role not in ROLES:
        raise ValueError("role is none of ours")
    subject = UUID(str(claims["sub"]))
    if role == "influencer":
        return Principal(role, UserId(subject), None, InfluencerId(subject))
    return Principal(role, UserId(subject), OrganisationId(UUID(str(claims["org"]))), None)
