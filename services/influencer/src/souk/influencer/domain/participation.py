"""How a participation moves (domain.md §3): what is asked, what is known, what it becomes or why not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId, participation_id
from souk.contracts.money import BasisPoints
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import CampaignType, Platform
from souk.contracts.topics.participations import ParticipationState
from souk.influencer.domain.eligibility import Account, Judgement
from souk.influencer.domain.status import Status

Entry = Literal["join", "force", "choose"]
"""join: as the approval mode says. force: by staff, joined at once. choose: out of `waiting`."""
Move = Literal["approve", "review", "apply", "reject", "withdraw", "deselect", "reselect"]

Event = Literal[
    "participation.deselected",
    "participation.reselected",
    "participation.waiting",
    "participation.applied",
    "participation.reviewing",
    "participation.rejected",
    "participation.joined",
    "participation.withdrawn",
]

_ACTED: frozenset[ParticipationState] = frozenset({"waiting", "applied", "reviewing", "joined"})


@dataclass(frozen=True, slots=True)
class Participation:
    """One influencer's place in one campaign. version 0: it is nowhere yet, the influencer only could.

    forced: staff put the influencer in, so choosing an account joins whatever the approval mode.
    """

    id: ParticipationId
    campaign_id: CampaignId
    influencer_id: InfluencerId
    created_at: datetime
    changed_at: datetime
    version: int = 0
    state: ParticipationState = "available"
    platform: Platform | None = None
    account_id: UUID | None = None
    applied_at: datetime | None = None
    joined_at: datetime | None = None
    withdrawn_at: datetime | None = None
    referral_code: str | None = None
    commission: BasisPoints | None = None
    followers_base: int | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What the participation becomes. account: the one it is fixed to; None keeps what it has."""

    state: ParticipationState
    event: Event
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Entrance:
    """What is known of campaign and influencer when somebody wants in.

    needs_account: posts are tracked, so there is nothing to track without one. joins_at_once: approval is
    automatic, or staff force it. requested: the account asked for, of this influencer or not.
    """

    status: Status
    is_open: bool
    joins_at_once: bool
    needs_account: bool
    judgement: Judgement
    requested: UUID | None = None


def needs_account(campaign_type: CampaignType, *, track_posts: bool) -> bool:
    return track_posts or campaign_type == "social"


def enter(current: ParticipationState, entry: Entry, entrance: Entrance) -> Step | Reason | None:
    """What comes of wanting in; None when `current` says that it has happened already.

    current: `available` when there is no row yet.
    """
    if current in _ACTED and entry != "choose":
        return None
    if (obstacle := _obstacle(current, entry, entrance)) is not None:
        return obstacle
    account = choose(entrance.judgement.accounts, entrance.requested)
    if account is None and (entrance.requested is not None or entrance.needs_account):
        waits = entrance.requested is None and entry != "choose"
        return Step("waiting", "participation.waiting") if waits else Reason.ACCOUNT_REQUIRED
    if entrance.joins_at_once:
        return Step("joined", "participation.joined", account)
    return Step("applied", "participation.applied", account)


def _obstacle(current: ParticipationState, entry: Entry, entrance: Entrance) -> Reason | None:
    """The first thing in the way, those first that hide the campaign altogether."""
    obstacles: tuple[tuple[bool, Reason | None], ...] = (
        (current == "unavailable", Reason.DESELECTED),
        ("closed" in entrance.judgement.failed, Reason.CLOSED_CAMPAIGN),
        (current != ("waiting" if entry == "choose" else "available"), Reason.WRONG_STATE),
        (True, closed_to_entries(entrance.status)),
        (entry == "join" and not entrance.is_open, Reason.NOT_OPEN),
        (not entrance.judgement.eligible, Reason.NOT_ELIGIBLE),
    )
    return next((reason for stands, reason in obstacles if stands and reason is not None), None)


def closed_to_entries(status: Status) -> Reason | None:
    """Why nobody gets in now, whoever asks."""
    refusals: dict[Status, Reason] = {
        "draft": Reason.NOT_APPROVED,
        "over_budget": Reason.OVER_BUDGET,
        "finished": Reason.FINISHED,
    }
    return refusals.get(status)


def choose(matching: Sequence[Account], requested: UUID | None) -> Account | None:
    """The account asked for, if it matches; without a wish the only one that matches."""
    if requested is not None:
        return next((account for account in matching if account.id == requested), None)
    return matching[0] if len(matching) == 1 else None


_MOVES: dict[Move, tuple[frozenset[ParticipationState], Step]] = {
    "approve": (frozenset({"applied", "reviewing"}), Step("joined", "participation.joined")),
    "review": (frozenset({"applied"}), Step("reviewing", "participation.reviewing")),
    "apply": (frozenset({"reviewing", "rejected"}), Step("applied", "participation.applied")),
    "reject": (frozenset({"applied", "reviewing"}), Step("rejected", "participation.rejected")),
    "withdraw": (
        frozenset({"waiting", "applied", "reviewing", "joined"}),
        Step("withdrawn", "participation.withdrawn"),
    ),
    "deselect": (frozenset({"available"}), Step("unavailable", "participation.deselected")),
    "reselect": (frozenset({"unavailable"}), Step("available", "participation.reselected")),
}


def move(current: ParticipationState, asked: Move) -> Step | Reason | None:
    """What comes of moving a participation; None when it is there already.

    Approving is joining: the caller also asks `closed_to_entries` and eligibility first.
    """
    sources, step = _MOVES[asked]
    if current == step.state:
        return None
    return step if current in sources else Reason.WRONG_STATE


def could(campaign: CampaignId, influencer: InfluencerId, now: datetime) -> Participation:
    """The participation of one who hasn't acted."""
    return Participation(participation_id(campaign, influencer), campaign, influencer, now, now)


def stepped(
    current: Participation, step: Step, now: datetime, *, code: str | None = None, base: int | None = None
) -> Participation:
    """`current` after `step`. code, base: referral code and followers' base that joining gives.

    Out of `rejected` comes an application of its own, which may be rejected in its turn.
    """
    account = step.account
    return replace(
        current,
        version=current.version + 1,
        changed_at=now,
        state=step.state,
        platform=current.platform if account is None else account.platform,
        account_id=current.account_id if account is None else account.id,
        applied_at=now if step.state == "applied" and current.state != "reviewing" else current.applied_at,
        joined_at=now if step.state == "joined" else current.joined_at,
        withdrawn_at=now if step.state == "withdrawn" else current.withdrawn_at,
        referral_code=current.referral_code or code,
        followers_base=base if current.followers_base is None else current.followers_base,
    )
