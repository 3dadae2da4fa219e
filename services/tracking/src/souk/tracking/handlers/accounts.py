"""Connecting social accounts; the platform was asked before (domain.md §3, §4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.work import Work
from souk.contracts.topics.campaigns import Platform
from souk.tracking.adapters.platform import Channel
from souk.tracking.store import accounts as store


@dataclass(frozen=True, slots=True)
class Claim:
    """`channel` is to be the influencer's account; token: sealed access token, None to keep what is there."""

    influencer_id: UUID
    channel: Channel
    token: bytes | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """The rows by external id, and the ids that belong to somebody else."""

    rows: Mapping[str, Row[Any]]
    taken: frozenset[str]


async def connect(work: Work, platform: Platform, claims: Sequence[Claim]) -> Connected:
    """Connect the claimed accounts; one that the same influencer connected before is only refreshed."""
    wanted = {claim.channel.external_id: claim for claim in reversed(claims)}
    fresh = [
        {
            "id": work.new_id(),
            "version": 0,
            "changed_at": work.now,
            "influencer_id": claim.influencer_id,
            "platform": platform,
            "external_id": external_id,
            "handle": claim.channel.handle,
            "connection": "connected",
        }
        for external_id, claim in sorted(wanted.items())
    ]
    await store.insert_new(work, fresh)
    rows: dict[str, Row[Any]] = {}
    taken: set[str] = set()
    for row in sorted(await store.lock_by_external(work, platform, wanted), key=lambda row: row.external_id):
        claim = wanted[row.external_id]
        if row.influencer_id != claim.influencer_id:
            taken.add(row.external_id)
            continue
        rows[row.external_id] = await _connected(work, row, claim)
    return Connected(rows, frozenset(taken))


async def _connected(work: Work, row: Row[Any], claim: Claim) -> Row[Any]:
    followers = row.followers if claim.channel.followers is None else claim.channel.followers
    shown = {"handle": claim.channel.handle, "followers": followers, "connection": "connected"}
    if claim.token is not None:
        await store.note(work, [{"b_id": row.id, "token": claim.token}])
    if row.version and all(getattr(row, name) == value for name, value in shown.items()):
        return row
    values = {**shown, "connected_at": row.connected_at or work.now}
    changed = await store.change(work, row.id, values)
    await store.note(work, [{"b_id": row.id, "uploads": claim.channel.uploads}])
    work.publish("account.connected" if not row.version else "account.changed", store.account_state(changed))
    return changed
