"""The rules of domain.md §1 and §2, without any server."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from souk.campaign.domain.approval import missing, over
from souk.campaign.domain.brief import Brief, amended, contradictions, hashtags_of
from souk.campaign.domain.edits import FIXED, event_of, forbidden
from souk.campaign.domain.levels import NOTHING, beyond, effective, raised
from souk.campaign.domain.period import day_starts, period_of
from souk.campaign.domain.status import Judgement, status_of
from souk.campaign.domain.zones import DEFAULT_ZONES, ZONES
from souk.contracts.ids import OrganisationId
from souk.contracts.money import Micros
from souk.contracts.permissions import DEFAULTS, Level
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import Audience, Rates

ADVERTISER = OrganisationId(UUID(int=1))
DAYS = st.dates(date(2000, 1, 1), date(2100, 12, 30))
EVERY_ZONE = st.sampled_from(sorted(ZONES))


def brief(**fields) -> Brief:
    """A complete social campaign; `fields` change it."""
    complete = Brief(
        advertiser_id=ADVERTISER,
        type="social",
        title="Autumn laughs",
        country="US",
        time_zone="America/New_York",
        start_date=date(2017, 9, 20),
        end_date=date(2017, 10, 15),
        currency="USD",
        budget=Micros(10**12),
        audience=Audience(platforms=("youtube",)),
        hashtags=("comedy", "funny", "humor"),
        rates=Rates(posting=Micros(50_000_000)),
    )
    return replace(complete, **fields)


def pointers(faults) -> set[str]:
    return {fault.pointer for fault in faults}


def test_a_campaign_lasts_from_the_first_instant_of_its_start_to_the_last_of_its_end():
    period = period_of(brief(pre_launch_date=date(2017, 9, 15)), None)

    assert period.opens_at == datetime(2017, 9, 15, 4, tzinfo=UTC)
    assert period.starts_at == datetime(2017, 9, 20, 4, tzinfo=UTC)
    assert period.ends_at == datetime(2017, 10, 16, 4, tzinfo=UTC)


def test_applications_open_at_the_approval_when_there_is_no_pre_launch_date():
    approved = datetime(2017, 9, 14, 12, tzinfo=UTC)

    assert period_of(brief(), approved).opens_at == approved
    assert period_of(brief(), None).opens_at is None


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2017, 11, 5), "America/New_York", 25),
        (date(2017, 3, 12), "America/New_York", 23),
        (date(2017, 10, 1), "Australia/Lord_Howe", 23.5),
        (date(2018, 11, 4), "America/Sao_Paulo", 23),  # midnight itself is skipped
        (date(2017, 11, 5), "America/Havana", 25),  # midnight comes twice
        (date(2017, 7, 1), "Asia/Tokyo", 24),
    ],
)
def test_a_day_is_as_long_as_clocks_make_it(day, zone, hours):
    length = day_starts(day + timedelta(days=1), zone) - day_starts(day, zone)

    assert length == timedelta(hours=hours)


@given(DAYS, EVERY_ZONE)
def test_a_day_starts_where_the_calendar_turns(day, zone):
    starts = day_starts(day, zone)
    in_zone = starts.astimezone(ZoneInfo(zone)).date()
    assume(in_zone == day or zone not in {"Pacific/Apia", "Pacific/Fakaofo"})  # they skipped a day in 2011

    before = (starts - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
    assert before < day <= in_zone


@given(EVERY_ZONE, st.lists(DAYS, min_size=2, max_size=5))
def test_later_days_start_later(zone, days):
    assume(zone not in {"Pacific/Apia", "Pacific/Fakaofo"})
    starts = [day_starts(day, zone) for day in sorted(set(days))]

    assert all(earlier < later for earlier, later in pairwise(starts))


@pytest.mark.parametrize(
    ("country", "zone"),
    [("JP", "Asia/Tokyo"), ("TH", "Asia/Bangkok"), ("DE", "Europe/Berlin"), ("US", None), ("BR", None)],
)
def test_the_zone_defaults_to_the_countrys_unless_its_clocks_differ(country, zone):
    assert DEFAULT_ZONES[country] == zone


def test_every_country_but_the_uninhabited_has_a_zone_to_choose():
    without = {code for code, zone in DEFAULT_ZONES.items() if zone is None}

    assert {"US", "CA", "BR", "AU", "RU", "MX", "ID"} <= without
    assert {"BV", "HM"} <= without
    assert len(without) < 45


@given(
    st.lists(st.text(max_size=12), max_size=8),
)
def test_hashtags_are_lower_case_without_sign_and_blanks_and_each_once(texts):
    tags = hashtags_of(texts)

    assert len(set(tags)) == len(tags)
    assert hashtags_of(tags) == tags
    assert all(tag and "#" not in tag and not any(c.isspace() for c in tag) for tag in tags)


def test_hashtags_keep_their_order():
    assert hashtags_of(["#Comedy", "hu mor", "COMEDY", "# "]) == ("comedy", "humor")


def test_a_complete_campaign_lacks_nothing():
    assert missing(brief()) == []


def test_everything_missing_is_named_at_once():
    empty = Brief(advertiser_id=ADVERTISER, type="social")

    assert pointers(missing(empty)) == {
        "/title", "/country", "/start_date", "/end_date", "/currency", "/budget",
        "/audience/platforms", "/hashtags", "/rates",
    }  # fmt: skip
    assert {fault.reason for fault in missing(empty)} == {Reason.INCOMPLETE_CAMPAIGN}


def test_a_country_with_several_clocks_needs_a_zone():
    assert pointers(missing(brief(time_zone=None))) == {"/time_zone"}
    assert missing(brief(country="JP", time_zone=None)) == []


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"hashtags": ("comedy", "funny")}, {"/hashtags"}),
        ({"type": "ecommerce", "hashtags": (), "rates": Rates(commission=1_000)}, set()),
        ({"type": "ecommerce", "rates": Rates(commission=1_000)}, {"/hashtags"}),
        ({"type": "ecommerce", "track_posts": True, "hashtags": ("one",)}, set()),
        ({"type": "ecommerce", "track_posts": True, "hashtags": ()}, {"/hashtags"}),
        ({"type": "referral", "hashtags": (), "rates": Rates(view=1)}, {"/rates", "/rates/view"}),
        ({"type": "ecommerce", "hashtags": (), "rates": Rates(commission=1, click=5)}, {"/rates/click"}),
        ({"type": "referral", "hashtags": (), "rates": Rates(conversion=1)}, set()),
        ({"type": "url", "hashtags": (), "rates": Rates(click=1)}, {"/landing_url"}),
        ({"type": "url", "hashtags": (), "rates": Rates(click=1), "product_url": "https://a.test"}, set()),
        (
            {"rates": Rates(click=1, conversion=1, commission=1)},
            {"/rates", "/rates/click", "/rates/conversion", "/rates/commission"},
        ),
        ({"budget": Micros(0)}, {"/budget"}),
        ({"audience": Audience()}, {"/audience/platforms"}),
    ],
)
def test_each_type_has_its_mandatory_fields(changes, lacking):
    assert pointers(missing(brief(**changes))) == lacking


def test_a_campaign_whose_end_has_passed_is_not_approved_and_one_that_has_begun_is():
    assert over(brief(), datetime(2017, 10, 16, 3, 59, tzinfo=UTC)) == []
    assert pointers(over(brief(), datetime(2017, 10, 16, 4, tzinfo=UTC))) == {"/end_date"}


def test_dates_and_bounds_out_of_order_are_contradictions():
    assert pointers(contradictions(brief(end_date=date(2017, 9, 19)))) == {"/end_date"}
    assert pointers(contradictions(brief(pre_launch_date=date(2017, 9, 21)))) == {"/start_date"}
    assert pointers(contradictions(brief(audience=Audience(age_min=30, age_max=20)))) == {"/audience/age_max"}
    assert contradictions(brief(end_date=date(2017, 9, 20))) == []


def test_an_unset_margin_is_a_third_and_an_explicit_zero_stays_zero():
    assert brief().margin == 3_300
    assert amended(brief(), {"margin": 0}).margin == 0
    assert amended(brief(margin=0), {"margin": None}).margin == 3_300


def test_audience_and_rates_are_merged_field_by_field():
    changed = amended(
        brief(),
        {"audience": {"age_min": 18, "platforms": None}, "rates": {"view": 500}},
    )

    assert changed.audience == Audience(age_min=18)
    assert changed.rates == Rates(posting=Micros(50_000_000), view=Micros(500))


JUDGEMENTS = st.none() | st.builds(Judgement, st.integers(0, 3), st.booleans())
INSTANTS = st.datetimes(datetime(2017, 9, 1), datetime(2017, 9, 5)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001


@given(st.none() | INSTANTS, INSTANTS, INSTANTS, st.integers(0, 3), JUDGEMENTS, INSTANTS)
def test_status_follows_its_precedence(approved_at, starts_at, ends_at, budget_version, judgement, now):
    assume(starts_at < ends_at)
    status = status_of(
        approved_at=approved_at,
        starts_at=starts_at,
        ends_at=ends_at,
        budget_version=budget_version,
        judgement=judgement,
        now=now,
    )
    exhausted = judgement is not None and judgement.exhausted and judgement.budget_version >= budget_version

    if approved_at is None:
        assert status == "draft"
    elif now >= ends_at:
        assert status == "finished"
    elif exhausted:
        assert status == "over_budget"
    else:
        assert status == ("ongoing" if now >= starts_at else "upcoming")


UPCOMING = datetime(2017, 9, 18, tzinfo=UTC)
ONGOING = datetime(2017, 9, 25, tzinfo=UTC)
FINISHED = datetime(2017, 10, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("advertiser_id", OrganisationId(UUID(int=2))),
        ("type", "url"),
        ("track_posts", True),
        ("currency", "EUR"),
        ("rates", Rates(view=Micros(1))),
        ("margin", 0),
        ("agency_margin", 100),
        ("hold_days", 7),
        ("window_days", 7),
    ],
)
def test_the_terms_are_fixed_since_the_approval(field, value):
    faults = forbidden(brief(), brief(**{field: value}), UPCOMING)

    assert field in FIXED
    assert [(fault.reason, fault.pointer) for fault in faults] == [(Reason.FIXED_SINCE_APPROVAL, f"/{field}")]


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ({"budget": Micros(100)}, {"budget": Micros(101)}, False),
        ({"budget": Micros(100)}, {"budget": Micros(99)}, True),
        ({"cap": Micros(100)}, {"cap": Micros(101)}, False),
        ({"cap": Micros(100)}, {"cap": None}, False),
        ({"cap": Micros(100)}, {"cap": Micros(99)}, True),
        ({"cap": None}, {"cap": Micros(100)}, True),
    ],
)
def test_budget_and_cap_only_rise_and_no_cap_is_the_highest(before, after, refused):
    faults = forbidden(brief(**before), brief(**after), ONGOING)

    assert [fault.reason for fault in faults] == [Reason.ONLY_MAY_RISE] * refused


@pytest.mark.parametrize(
    ("now", "changes", "reasons"),
    [
        (UPCOMING, {"start_date": date(2017, 9, 22)}, []),
        (UPCOMING, {"start_date": date(2017, 9, 18)}, []),
        (ONGOING, {"start_date": date(2017, 9, 22)}, [Reason.START_FIXED]),
        (ONGOING, {"end_date": date(2017, 10, 20)}, []),
        (ONGOING, {"end_date": date(2017, 10, 14)}, [Reason.INVALID_PERIOD]),
        (ONGOING, {"end_date": date(2017, 9, 24)}, []),  # still the 24th in New York
        (ONGOING, {"end_date": date(2017, 9, 23)}, [Reason.INVALID_PERIOD]),
        (ONGOING, {"time_zone": "Asia/Tokyo"}, [Reason.START_FIXED, Reason.INVALID_PERIOD]),
        (FINISHED, {"end_date": date(2017, 11, 20)}, [Reason.FINISHED]),
        (FINISHED, {"budget": Micros(10**13)}, [Reason.FINISHED]),
        (FINISHED, {"title": "Late laughs"}, []),
    ],
)
def test_the_end_moves_later_or_to_today_and_the_start_is_fixed_once_ongoing(now, changes, reasons):
    faults = forbidden(brief(), brief(**changes), now)

    assert [fault.reason for fault in faults] == reasons


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({"title": "x"}, "campaign.changed"),
        ({"end_date": date(2017, 10, 16)}, "campaign.rescheduled"),
        ({"end_date": date(2017, 10, 16), "budget": Micros(10**13)}, "campaign.raised"),
        ({"end_date": date(2017, 10, 1), "title": "x"}, "campaign.stopped"),
    ],
)
def test_of_several_things_the_weightiest_is_what_happened(changes, event):
    assert event_of(brief(), brief(**changes)) == event


def test_nobody_hands_out_more_than_their_own_level():
    own = {"campaign": Level.MANAGE, "payment": Level.VIEW}

    assert beyond({"campaign": Level.MANAGE, "payment": Level.NONE}, own) == []
    assert beyond({"payment": Level.MANAGE, "report": Level.VIEW}, own) == ["payment", "report"]


def test_what_rises_is_the_effective_level():
    default = effective("advertiser", {}, active=True)
    less = effective("advertiser", {"campaign": Level.VIEW}, active=True)

    assert default == DEFAULTS["advertiser"]
    assert raised(less, default) == {"campaign": Level.MANAGE}
    assert raised(default, less) == {}
    assert raised(NOTHING, less)["campaign"] == Level.VIEW
    assert effective("advertiser", {"payment": Level.VIEW}, active=False) == NOTHING
