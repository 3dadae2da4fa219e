"""The pure rules of status and participation (domain.md §2, §3)."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.contracts.ids import AccountId, CampaignId, InfluencerId
from souk.contracts.reasons import Reason
from souk.contracts.topics.participations import ParticipationState
from souk.influencer.domain.eligibility import Account, Judgement
from souk.influencer.domain.participation import Entrance, Entry, Move, Step, could, enter, move, stepped
from souk.influencer.domain.status import Status, is_exhausted, status_at

STATES: tuple[ParticipationState, ...] = get_args(ParticipationState)
START = datetime(2017, 9, 20, 4, tzinfo=UTC)
END = START + timedelta(days=26)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "exhausted", "status"),
    [
        (START - TICK, False, "upcoming"),
        (START, False, "ongoing"),
        (END - TICK, False, "ongoing"),
        (START - TICK, True, "over_budget"),
        (END - TICK, True, "over_budget"),
        (END, True, "finished"),
    ],
)
def test_finished_beats_over_budget_beats_ongoing_beats_upcoming(
    now: datetime, exhausted: bool, status: Status
) -> None:
    assert status_at(now, "approved", START, END, exhausted=exhausted) == status
    assert status_at(now, "draft", START, END, exhausted=exhausted) == "draft"


@pytest.mark.parametrize(
    ("judged", "verdict", "exhausted"),
    [
        (None, None, False),
        (1, "exhausted", False),
        (2, "exhausted", True),
        (3, "exhausted", True),
        (2, "open", False),
    ],
)
def test_an_older_verdict_cannot_undo_a_raise(
    judged: int | None, verdict: str | None, exhausted: bool
) -> None:
    assert is_exhausted(2, judged, verdict) is exhausted


REACHABLE = {
    "applied": {"review": "reviewing", "reject": "rejected", "approve": "joined", "withdraw": "withdrawn"},
    "reviewing": {"apply": "applied", "reject": "rejected", "approve": "joined", "withdraw": "withdrawn"},
    "rejected": {"apply": "applied"},
    "waiting": {"withdraw": "withdrawn"},
    "joined": {"withdraw": "withdrawn"},
    "available": {"deselect": "unavailable"},
    "unavailable": {"reselect": "available"},
    "withdrawn": {},
}


@pytest.mark.parametrize("state", STATES)
def test_only_these_moves_change_a_state(state: ParticipationState) -> None:
    moves: tuple[Move, ...] = get_args(Move)

    found = {asked: step.state for asked in moves if isinstance(step := move(state, asked), Step)}

    assert found == REACHABLE[state]


def test_who_was_rejected_applies_anew_but_who_is_reviewed_has_applied_once() -> None:
    one = stepped(
        could(CampaignId(uuid4()), InfluencerId(uuid4()), START),
        Step("applied", "participation.applied"),
        START,
    )
    applied: list[datetime | None] = []
    moves: tuple[Move, ...] = ("review", "apply", "reject", "apply", "reject")
    for number, asked in enumerate(moves, 1):
        step = move(one.state, asked)
        assert isinstance(step, Step)
        one = stepped(one, step, START + number * TICK)
        applied.append(one.applied_at)

    assert applied == [START, START, START, START + 4 * TICK, START + 4 * TICK]


ACCOUNTS = tuple(Account(AccountId(UUID(int=n)), "youtube", "connected", n) for n in range(3))
statuses: st.SearchStrategy[Status] = st.sampled_from(get_args(Status))
entrances = st.builds(
    Entrance,
    status=statuses,
    is_open=st.booleans(),
    joins_at_once=st.booleans(),
    needs_account=st.booleans(),
    judgement=st.builds(
        Judgement,
        st.sampled_from([(), ("region",), ("closed",), ("closed", "age")]),
        st.integers(0, 3).map(lambda n: ACCOUNTS[:n]),
    ),
    requested=st.sampled_from([None, ACCOUNTS[0].id, uuid4()]),
)
entries: st.SearchStrategy[Entry] = st.sampled_from(get_args(Entry))


@given(st.sampled_from(STATES), entries, entrances)
def test_who_gets_in_was_let_in_by_every_rule(
    current: ParticipationState, entry: Entry, entrance: Entrance
) -> None:
    result = enter(current, entry, entrance)

    if isinstance(result, Step):
        assert current == ("waiting" if entry == "choose" else "available")
        assert entrance.status in ("upcoming", "ongoing")
        assert entrance.judgement.eligible
        assert entrance.is_open or entry != "join"
        assert result.state in ("waiting", "applied", "joined")
        if result.state != "waiting":
            assert (result.state == "joined") is entrance.joins_at_once
            assert result.account is not None or not entrance.needs_account
            assert entrance.requested is None or (result.account and result.account.id == entrance.requested)
    if current == "unavailable":
        assert result is Reason.DESELECTED
    if result is None:
        assert current in ("waiting", "applied", "reviewing", "joined")
