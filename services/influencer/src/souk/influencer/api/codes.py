"""/v1/referral-codes: the pool of a campaign."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.contracts.ids import CampaignId
from souk.contracts.reasons import Reason
from souk.influencer.api.fields import Code
from souk.influencer.handlers import codes as handlers
from souk.influencer.store import campaigns
from souk.influencer.store import codes as store
from souk.influencer.store.tables import referral_code

routes = Routes(prefix="/v1/referral-codes", tags=["referral-codes"])
Viewer = Annotated[Principal, allowed("participation", "view")]
Manager = Annotated[Principal, allowed("participation", "manage")]
MOST_ADDED = 500


class CodesIn(BaseModel):
    """Either the codes, in the order in which they are given away, or how many to make with a prefix."""

    model_config = ConfigDict(extra="forbid")

    campaign_id: UUID
    codes: Annotated[tuple[Code, ...] | None, Field(min_length=1, max_length=MOST_ADDED)] = None
    count: Annotated[int | None, Field(ge=1, le=MOST_ADDED)] = None
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,30}$")] | None = None

    @model_validator(mode="after")
    def _either(self) -> "CodesIn":
        if (self.codes is None) == (self.count is None or self.prefix is None):
            raise ValueError("send either codes, or count and prefix")
        return self


class PoolOut(BaseModel):
    campaign_id: UUID
    codes: int
    assigned: int


class CodeOut(BaseModel):
    """position: codes are given away in this order."""

    position: int
    code: str
    participation_id: UUID | None


@routes.post("", status_code=201, idempotent=True)
async def add_codes(body: CodesIn, work: WorkDep, who: Manager) -> PoolOut:
    pool = await handlers.add(
        work,
        who,
        CampaignId(body.campaign_id),
        listed=body.codes,
        count=body.count or 0,
        prefix=body.prefix or "",
    )
    return PoolOut(campaign_id=pool.campaign_id, codes=pool.codes, assigned=pool.assigned)


@routes.get("")
async def list_codes(campaign_id: UUID, work: WorkDep, who: Viewer, cursor: CursorDep) -> Page[CodeOut]:
    if await campaigns.find(work, campaign_id, who) is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    rows = await work.fetch_all(cursor.over(store.listed(campaign_id), referral_code.c.position))

    def shown(row: Any) -> CodeOut:
        return CodeOut(position=row.position, code=row.code, participation_id=row.participation_id)

    return cursor.page(rows, shown, lambda row: (row.position,))
