"""The month's figures against an oracle that shares no code with souk, and the same after a kill."""

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trending
from months import SEED, kill_at, play
from oracle import Expected, expected
from rich.console import Console

from souk.local.demo.statement import show
from souk.local.folder import Folder
from souk.local.standins.catalogue import PACKAGED

TAGS = frozenset({"comedy", "funny", "humor"})
NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")
PROCESSES = (
    *("kafka", "postgres", "valkey", "gateway", "standins"),
    *("campaign", "influencer", "tracking", "tracking-redirect", "billing", "notify"),
)


def campaign(statement: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in statement["campaigns"] if each["name"] == name)


def check_a(statement: dict[str, Any], wanted: Expected) -> None:
    a = campaign(statement, "A")
    assert statement["rows"] == {"read": wanted.read, "skipped": dict(wanted.skipped)}
    assert a["participations"] == {"joined": len(wanted.joined)}
    fields = ("posts", "views", "likes", "comments", "revenue", "capped")
    assert {each["influencer"]: tuple(each[field] for field in fields) for each in a["earnings"]} == {
        channel: (
            *(earning.posts, earning.views, earning.likes, earning.comments),
            f"{Decimal(int(earning.revenue * 1_000_000)) / 1_000_000:.6f}",
            earning.worth > earning.revenue,
        )
        for channel, earning in wanted.earnings.items()
    }
    assert a["posts"] == {"approved": sum(earning.posts for earning in wanted.earnings.values())}
    cost = sum(earning.cost_micros for earning in wanted.earnings.values())
    assert Decimal(a["cost"]) * 1_000_000 == cost


def check_payments(statement: dict[str, Any]) -> None:
    payments = statement["payments"]
    assert {payment["status"] for payment in payments} == {"paid"}
    assert max(Counter(payment["influencer"] for payment in payments).values()) == 1
    for payment in payments:
        assert payment["gross"] == payment["net"]
        assert Decimal(payment["gross"]) % Decimal("0.01") == 0


def without_split(statement: dict[str, Any]) -> dict[str, Any]:
    """After a kill B's split among influencers may differ, and so may what each is paid; its totals not."""
    campaigns = [
        {name: value for name, value in each.items() if (each["name"], name) != ("B", "earnings")}
        for each in statement["campaigns"]
    ]
    total = sum(Decimal(payment["gross"]) for payment in statement["payments"])
    return {**statement, "campaigns": campaigns, "payments": total, "ledger": statement["ledger"]["sum"]}


def test_counts_that_fall_and_grow_late_and_a_killed_process_change_no_figure(tmp_path: Path) -> None:
    chance = random.Random(int(SEED))
    process = chance.choice(PROCESSES)
    instant = datetime(2017, 9, 20, tzinfo=UTC) + timedelta(minutes=chance.randint(0, 28 * 1_440))
    file = trending.write(tmp_path / "trending.csv", random.Random(11))
    tags = frozenset({"alpha", "beta", "gamma"})

    statement = play(
        Folder(tmp_path / "data"),
        *("--data", str(file), "--hashtags", ",".join(sorted(tags)), "--seed", SEED),
        disturb=kill_at(instant, process),
    )

    check_a(statement, expected(file, tags))
    check_payments(statement)
    assert statement["ledger"]["sum"] == {"USD": "0.000000"}, f"{process} was killed at {instant}"


def test_a_pays_what_the_file_says(month: dict[str, Any]) -> None:
    check_a(month, expected(PACKAGED, TAGS))


def test_b_is_spent_to_the_micro_and_never_more(month: dict[str, Any]) -> None:
    b = campaign(month, "B")

    assert b["peak_cost"] == b["budget"] == b["cost"]
    assert b["status"] == "finished"


def test_the_ledger_sums_to_zero(month: dict[str, Any]) -> None:
    assert month["ledger"]["sum"] == {"USD": "0.000000"}
    assert month["ledger"]["postings"] > 0


def test_clicks_have_every_verdict_and_orders_too(month: dict[str, Any]) -> None:
    assert set(campaign(month, "C")["clicks"]) == {"billable", "bot", "duplicate", "outside_period"}
    assert {"qualified", "unknown_code", "outside_period"} <= set(campaign(month, "D")["conversions"])


def test_fewer_codes_than_applicants_admit_as_many_as_there_are(month: dict[str, Any]) -> None:
    assert campaign(month, "D")["participations"] == {"joined": 8}


def test_everyone_paid_is_paid_once_what_they_earned(month: dict[str, Any]) -> None:
    check_payments(month)


def test_the_late_refund_lowers_the_campaigns_cost(month: dict[str, Any]) -> None:
    e = campaign(month, "E")

    assert Decimal(e["cost"]) < Decimal(e["peak_cost"])
    assert e["status"] == "finished"


def test_a_start_batch_tells_everyone_of_all_five_campaigns_once(month: dict[str, Any]) -> None:
    paid = len(month["payments"])

    assert month["notifications"]["email"] == 1_218 + paid


def test_the_printed_statement_shows_every_figure_whole_on_80_columns(month: dict[str, Any]) -> None:
    console = Console(width=80, file=StringIO())

    show(console, month)

    printed = console.file.getvalue()
    assert "…" not in printed
    figures = {f"{Decimal(a):.6f}" for a in NUMBER.findall(printed)}
    for each in month["campaigns"]:
        assert {each["peak_cost"], each["revenue"]} <= figures
    nets = sorted((Decimal(payment["net"]) for payment in month["payments"]), reverse=True)
    assert {f"{amount:.6f}" for amount in (*nets[:5], sum(nets))} <= figures


def test_the_printed_statement_names_currencies_columns_and_reasons(month: dict[str, Any]) -> None:
    console = Console(width=80, file=StringIO())

    show(console, month)

    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert "currency USD USD USD USD USD" in lines
    assert "campaign influencer posts views revenue cap" in lines
    paid = sum(Decimal(payment["net"]) for payment in month["payments"])
    assert f"payments paid: {len(month['payments'])}, {paid:.2f} USD in all" in lines
    assert "influencer gross net status" in lines
    conversions = lines[lines.index("conversions") :]
    assert "unpaid, because" in conversions
    assert {"qualified", "unknown code", "outside period"} <= {line.rsplit(" ", 5)[0] for line in conversions}


@pytest.mark.long
@pytest.mark.parametrize("process", PROCESSES)
def test_killing_each_process_in_turn_changes_no_figure(
    month: dict[str, Any], tmp_path: Path, process: str
) -> None:
    chance = random.Random(f"{SEED}:{process}")
    instant = datetime(2017, 9, 14, tzinfo=UTC) + timedelta(minutes=chance.randint(0, 58 * 1_440))

    disturbed = play(Folder(tmp_path / "data"), "--seed", SEED, disturb=kill_at(instant, process))

    assert without_split(disturbed) == without_split(month), f"{process} was killed at {instant}"
