"""An influencer's own in-app notices."""

from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, Field

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.ids import InfluencerId
from souk.contracts.reasons import Locale, Reason
from souk.notify.channels.texts import compose
from souk.notify.domain.definitions import DEFINITIONS, About, Kind
from souk.notify.store import copies, notifications
from souk.notify.store.tables import delivery

routes = Routes(prefix="/v1/notifications", tags=["notifications"])
Viewer = Annotated[Principal, allowed("notification", "view")]
Reader = Annotated[Principal, allowed("notification", "manage")]
Wanted = Annotated[
    Locale | None, Query(description="language of the texts; the influencer's own when left out")
]


class NotificationOut(BaseModel):
    """subject_ids: what it is about, by the kind's first word (campaign, participation, post, payment)."""

    id: UUID
    kind: Kind
    about: About
    title: str
    body: str
    subject_ids: list[UUID]
    campaign_ids: list[UUID]
    made_at: datetime
    read_at: datetime | None


class ReadOut(BaseModel):
    read: Annotated[int, Field(description="how many became read by this request")]


@routes.get("")
async def list_notifications(
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    response: Response,
    *,
    locale: Wanted = None,
    read: Annotated[bool | None, Query(description="only read ones, or only unread ones")] = None,
) -> Page[NotificationOut]:
    """Newest first."""
    mine = _influencer(who)
    rows = await work.fetch_all(
        cursor.over(notifications.of(mine, read), delivery.c.made_at, delivery.c.id, descending=True)
    )
    facts = await copies.facts_of(work, rows)
    chosen = response.headers["Content-Language"] = await _locale(work, mine, locale)
    return cursor.page(
        rows,
        lambda row: _out(row, facts, chosen),
        keys=lambda row: (row.made_at, row.id),
    )


@routes.post("/read-all")
async def read_all_notifications(work: WorkDep, who: Reader) -> ReadOut:
    return ReadOut(read=await notifications.read_all(work, _influencer(who)))


@routes.post("/{notification_id}/read")
async def read_notification(
    notification_id: UUID, work: WorkDep, who: Reader, response: Response, locale: Wanted = None
) -> NotificationOut:
    """Reading twice keeps the first time."""
    mine = _influencer(who)
    row = await notifications.read(work, mine, notification_id)
    if row is None:
        raise Refused(Reason.UNKNOWN_NOTIFICATION)
    chosen = response.headers["Content-Language"] = await _locale(work, mine, locale)
    return _out(row, await copies.facts_of(work, [row]), chosen)


def _out(row: Any, facts: copies.Facts, locale: Locale) -> NotificationOut:
    text = compose(row, facts, locale)
    return NotificationOut(
        id=row.id,
        kind=row.kind,
        about=DEFINITIONS[cast("Kind", row.kind)].about,
        title=text.title,
        body=text.body,
        subject_ids=row.subject_ids,
        campaign_ids=row.campaign_ids,
        made_at=row.made_at,
        read_at=row.read_at,
    )


def _influencer(who: Principal) -> InfluencerId:
    """Only influencers have notices; the deliveries of all are the staff's list."""
    if who.influencer_id is None:
        raise Refused(Reason.FORBIDDEN, "only an influencer has notifications")
    return who.influencer_id


async def _locale(work: Work, influencer_id: InfluencerId, wanted: Locale | None) -> Locale:
    return wanted or await copies.locale_of(work, influencer_id)
