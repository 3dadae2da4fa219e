"""A campaign's brief: all that its authors may set (domain.md §2)."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import date
from typing import Any, Literal
from uuid import UUID

from souk.campaign.domain.fault import Fault
from souk.campaign.domain.zones import DEFAULT_ZONES
from souk.contracts.ids import OrganisationId, UserId
from souk.contracts.money import BasisPoints, Micros
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import Audience, CampaignType, Rates

DEFAULT_MARGIN = BasisPoints(3_300)
_NO_MARGIN = BasisPoints(0)
_NO_FILTER = Audience()
_NO_RATES = Rates()


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """A draft may leave nearly everything unset: None, empty or the default here.

    margin, agency_margin: on price, below 100 %; an explicit 0 stays 0. time_zone: as the authors
    set it, see `zone`. hashtags: as `hashtags_of` writes them.
    """

    advertiser_id: OrganisationId
    type: CampaignType
    title: str = ""
    hubspot_deal_id: str | None = None
    sales_pic_id: UserId | None = None
    influencer_pic_id: UserId | None = None
    pre_launch_date: date | None = None
    start_date: date | None = None
    end_date: date | None = None
    country: str | None = None
    time_zone: str | None = None
    category: str | None = None
    audience: Audience = _NO_FILTER
    approval_mode: Literal["auto", "manual"] = "manual"
    multi_posting: bool = False
    visibility: Literal["normal", "closed"] = "normal"
    track_posts: bool = False
    draft_required: bool = False
    hashtags: tuple[str, ...] = ()
    product_information: str = ""
    post_requirements: str = ""
    product_url: str | None = None
    landing_url: str | None = None
    material_url: str | None = None
    thumbnail_url: str | None = None
    sample_urls: tuple[str, ...] = ()
    currency: str | None = None
    rates: Rates = _NO_RATES
    cap: Micros | None = None
    budget: Micros | None = None
    margin: BasisPoints = DEFAULT_MARGIN
    agency_margin: BasisPoints = _NO_MARGIN
    hold_days: int = 0
    window_days: int = 30

    @property
    def zone(self) -> str | None:
        """The zone whose calendar days the dates are: the one set, else the country's only one."""
        return self.time_zone or (DEFAULT_ZONES.get(self.country) if self.country else None)

    @property
    def tracks_posts(self) -> bool:
        """Posts of a social campaign are always tracked; the other types choose."""
        return self.type == "social" or self.track_posts


FIELDS = tuple(field.name for field in fields(Brief))
_DEFAULTS = {field.name: field.default for field in fields(Brief) if field.default is not MISSING}


def amended(brief: Brief, changes: Mapping[str, Any]) -> Brief:
    """`brief` with `changes` merged in (RFC 7396): None takes a field back to its default.

    audience and rates are given as mappings and merged field by field. Raises KeyError when
    advertiser or type, which have no default, are taken away.
    """
    values = {name: _DEFAULTS[name] if value is None else value for name, value in changes.items()}
    for name, part in (("audience", brief.audience), ("rates", brief.rates)):
        if isinstance(values.get(name), Mapping):
            merged = part.model_dump() | values[name]
            values[name] = type(part)(**{key: value for key, value in merged.items() if value is not None})
    if "hashtags" in values:
        values["hashtags"] = hashtags_of(values["hashtags"])
    return replace(brief, **values)


def hashtags_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Lower case, without `#` and blanks, each once and in the order given; empty ones are left out."""
    bare = ("".join(text.replace("#", "").split()).lower() for text in texts)
    return tuple(dict.fromkeys(tag for tag in bare if tag))


def contradictions(brief: Brief) -> list[Fault]:
    """What no campaign may say, be it a draft: dates or bounds out of order."""
    faults = [
        Fault(Reason.INVALID_PERIOD, f"/{later}", f"{later} lies before {earlier}")
        for earlier, later in (
            ("start_date", "end_date"),
            ("pre_launch_date", "start_date"),
            ("pre_launch_date", "end_date"),
        )
        if _above(getattr(brief, earlier), getattr(brief, later))
    ]
    faults += [
        Fault(Reason.INVALID, f"/audience/{name}_max", f"{name}_max lies below {name}_min")
        for name in ("age", "followers")
        if _above(getattr(brief.audience, f"{name}_min"), getattr(brief.audience, f"{name}_max"))
    ]
    return faults


def _above(low: Any, high: Any) -> bool:
    return low is not None and high is not None and low > high


def people(brief: Brief) -> dict[str, UUID]:
    """The persons in charge that are set, by field."""
    named = {"sales_pic_id": brief.sales_pic_id, "influencer_pic_id": brief.influencer_pic_id}
    return {field: person for field, person in named.items() if person is not None}
