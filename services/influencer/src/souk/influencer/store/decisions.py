"""Why somebody was announced to, let in or refused: rule version, inputs, failed filters (domain.md §3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Integer,
    Row,
    Text,
    and_,
    cast,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by, insert

from souk.chassis.work import Work
from souk.influencer.domain.eligibility import RULE_VERSION, Filter, Profile, age_on
from souk.influencer.store.campaigns import audience_of
from souk.influencer.store.tables import account, decision, influencer

Effect = Literal["announced", "applied", "joined", "forced", "refused"]


@dataclass(frozen=True, slots=True)
class Decision:
    campaign_id: UUID
    influencer_id: UUID
    effect: Effect
    decided_at: datetime
    failed: tuple[Filter, ...]
    inputs: dict[str, Any]


def inputs_of(campaign: Row[Any], influencer_version: int, profile: Profile, now: datetime) -> dict[str, Any]:
    """What the rule looked at. The age is kept, not the birth date."""
    return {
        "campaign": _campaign_inputs(campaign),
        "influencer": {
            "version": influencer_version,
            "signed_up_at": profile.signed_up_at.isoformat(),
            "region": profile.region,
            "categories": list(profile.categories),
            "gender": profile.gender,
            "age": None if profile.birth_date is None else age_on(profile.birth_date, now.date()),
            "accounts": [
                {
                    "id": str(one.id),
                    "platform": one.platform,
                    "connection": one.connection,
                    "followers": one.followers,
                }
                for one in sorted(profile.accounts, key=lambda one: one.id)
            ],
        },
    }


def _campaign_inputs(campaign: Row[Any]) -> dict[str, Any]:
    return {
        "version": campaign.version,
        "created_at": campaign.created_at.isoformat(),
        "visibility": campaign.visibility,
        "audience": audience_of(campaign).model_dump(mode="json"),
    }


async def record(work: Work, decisions: Sequence[Decision]) -> None:
    """Of each pair and effect the newest is kept."""
    if not decisions:
        return
    newest = {(one.campaign_id, one.influencer_id, one.effect): one for one in decisions}
    await _keep(
        work,
        insert(decision).values(
            [
                {
                    "campaign_id": one.campaign_id,
                    "influencer_id": one.influencer_id,
                    "effect": one.effect,
                    "decided_at": one.decided_at,
                    "rule_version": RULE_VERSION,
                    "failed": list(one.failed),
                    "inputs": one.inputs,
                }
                for one in sorted(newest.values(), key=lambda o: (o.campaign_id, o.influencer_id, o.effect))
            ]
        ),
    )


async def record_announced(work: Work, campaign: Row[Any], chosen: ColumnElement[bool], now: datetime) -> int:
    """Record in one statement that all `chosen` (over `influencer`) are announced `campaign`; how many.

    Who is being erased is waited for, and then not among them: else what it forgot would be written again.
    """
    inputs = func.jsonb_build_object(
        "campaign",
        literal(_campaign_inputs(campaign), JSONB),
        "influencer",
        _influencer_inputs(now),
    )
    columns = ["campaign_id", "influencer_id", "effect", "decided_at", "rule_version", "failed", "inputs"]
    rows = select(
        literal(campaign.id),
        influencer.c.id,
        literal("announced"),
        literal(now),
        literal(RULE_VERSION, Integer),
        cast([], ARRAY(Text)),
        inputs,
    ).where(chosen)
    rows = rows.with_for_update(read=True, key_share=True, of=influencer)
    return await _keep(work, insert(decision).from_select(columns, rows))


def _influencer_inputs(now: datetime) -> ColumnElement[Any]:
    facts = func.jsonb_build_object(
        "id", account.c.id, "platform", account.c.platform,
        "connection", account.c.connection, "followers", account.c.followers,
    )  # fmt: skip
    accounts = (
        select(func.coalesce(func.jsonb_agg(aggregate_order_by(facts, account.c.id)), text("'[]'::jsonb")))
        .where(account.c.influencer_id == influencer.c.id)
        .correlate(influencer)
        .scalar_subquery()
    )
    age = func.date_part("year", func.age(literal(now.date(), Date), influencer.c.birth_date))
    return func.jsonb_build_object(
        "version", influencer.c.version, "signed_up_at", influencer.c.signed_up_at,
        "region", influencer.c.region, "categories", func.to_jsonb(influencer.c.categories),
        "gender", influencer.c.gender, "age", cast(age, Integer), "accounts", accounts,
    )  # fmt: skip


async def _keep(work: Work, statement: Any) -> int:
    replaced = ("decided_at", "rule_version", "failed", "inputs")
    result = await work.execute(
        statement.on_conflict_do_update(
            index_elements=["campaign_id", "influencer_id", "effect"],
            set_={name: statement.excluded[name] for name in replaced},
        )
    )
    return int(result.rowcount)


async def of_pair(work: Work, campaign_id: UUID, influencer_id: UUID) -> Sequence[Row[Any]]:
    return await work.fetch_all(
        select(decision)
        .where(and_(decision.c.campaign_id == campaign_id, decision.c.influencer_id == influencer_id))
        .order_by(decision.c.decided_at, decision.c.effect)
    )


async def forget(work: Work, influencer_id: UUID) -> None:
    """That it was decided stays; what it was decided on goes."""
    await work.execute(update(decision).where(decision.c.influencer_id == influencer_id).values(inputs={}))
