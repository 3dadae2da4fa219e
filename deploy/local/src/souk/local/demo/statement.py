"""The month's figures, read back through the public API; nothing is computed here but counts of rows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from souk.local.demo import plan as p
from souk.local.demo.api import Api
from souk.local.demo.plan import Plan
from souk.local.standins.catalogue import Catalogue

Json = dict[str, Any]

_PAID = ("billable", "qualified")
_REASONS = {
    "currency": "other currency",
    "out_of_window": "click too old",
    "duplicate": "clicked before",
}
"""Why a click or conversion isn't paid, where the reason's own name doesn't say it."""


async def read(staff: Api, catalogue: Catalogue, plan: Plan, ids: Mapping[str, str]) -> Json:
    """The statement as one JSON object; amounts are decimal strings with six places."""
    names = {str(p.influencer_id(channel)): channel for channel in plan.channels}
    ledger = await staff.get("/v1/postings/summary")
    deliveries = await staff.get("/v1/deliveries/summary")
    return {
        "rows": {"read": catalogue.read, "skipped": dict(catalogue.skipped)},
        "campaigns": [await _campaign(staff, name, this, names) for name, this in ids.items()],
        "payments": [
            {
                "influencer": names[payment["influencer_id"]],
                **{
                    field: payment[field]
                    for field in (
                        "currency",
                        "gross",
                        "withholding",
                        "consumption_tax",
                        "fee",
                        "net",
                        "status",
                    )
                },
            }
            async for payment in staff.pages("/v1/payments", run=p.PAYMENT_RUN)
        ],
        "ledger": {"postings": ledger["postings"], "sum": ledger["sum"]},
        "notifications": {
            channel: statuses.get("sent", 0) + statuses.get("unknown", 0)
            for channel, statuses in sorted(deliveries.items())
        },
    }


async def _campaign(staff: Api, name: str, this: str, names: Mapping[str, str]) -> Json:
    brief = await staff.get(f"/v1/campaigns/{this}")
    money = await staff.get(f"/v1/budgets/{this}")
    clicks = await staff.get("/v1/clicks/summary", campaign_id=this)
    conversions = await staff.get("/v1/conversions/summary", campaign_id=this)
    posts = Counter([post["status"] async for post in staff.pages("/v1/posts", campaign_id=this)])
    states = Counter([each["state"] async for each in staff.pages("/v1/participations", campaign_id=this)])
    earnings = [
        {
            "influencer": names[earning["influencer_id"]],
            **{field: earning[field] for field in ("posts", "views", "likes", "comments", "revenue")},
            "capped": earning["is_capped"],
        }
        async for earning in staff.pages("/v1/earnings", campaign_id=this)
        if earning["revenue"] != "0.000000"
    ]
    return {
        "name": name,
        "type": brief["type"],
        "status": brief["status"],
        "currency": brief["currency"],
        "budget": money["budget"],
        "cost": money["cost"],
        "peak_cost": money["peak_cost"],
        "revenue": money["revenue"],
        "posts": dict(sorted(posts.items())),
        "clicks": clicks["verdicts"],
        "conversions": conversions["verdicts"],
        "participations": dict(sorted(states.items())),
        "earnings": sorted(earnings, key=lambda earning: earning["influencer"]),
    }


def show(console: Console, statement: Json) -> None:
    """The statement for a person."""
    rows = statement["rows"]
    skipped = ", ".join(f"{count} for {reason}" for reason, count in sorted(rows["skipped"].items()))
    console.print(f"\n[bold]{rows['read']} lines read[/], skipped: {skipped or 'none'}")
    console.print(_campaigns(statement["campaigns"]))
    earned = _table("Best earners")
    for column in ("campaign", "influencer", "posts", "views", "revenue", "cap"):
        earned.add_column(column, justify="right" if column in {"posts", "views", "revenue"} else "left")
    best = sorted(
        ((each["name"], earning) for each in statement["campaigns"] for earning in each["earnings"]),
        key=lambda pair: (-float(pair[1]["revenue"]), pair[0], pair[1]["influencer"]),
    )
    for name, earning in best[:12]:
        earned.add_row(
            name,
            earning["influencer"],
            str(earning["posts"]),
            f"{earning['views']:,}",
            earning["revenue"],
            "reached" if earning["capped"] else "",
        )
    console.print(earned)
    console.print(_payments(statement["payments"]))
    by_status = defaultdict(list)
    for payment in statement["payments"]:
        by_status[payment["status"], payment["currency"]].append(Decimal(payment["net"]))
    for (status, currency), amounts in sorted(by_status.items()):
        console.print(
            f"\npayments {status}: {len(amounts)}, {_short(sum(amounts, Decimal(0)))} {currency} in all"
        )
    ledger = statement["ledger"]
    console.print(f"ledger: {ledger['postings']} postings, sum {_counts(ledger['sum'])}")
    console.print(f"notifications: {_counts(statement['notifications'])}")


def _campaigns(campaigns: Sequence[Json]) -> Table:
    """A column for each campaign: five of them fit a terminal of 80 columns with every figure whole."""
    table = _table("Campaigns")
    table.add_column("")
    for each in campaigns:
        table.add_column(each["name"], justify="right")
    for field in ("type", "status", "currency", "budget", "peak_cost", "cost", "revenue"):
        table.add_row(field.replace("_", " "), *(each[field].removesuffix(".000000") for each in campaigns))
    for field in ("participations", "posts", "clicks", "conversions"):
        table.add_row(f"[bold]{field}[/]")
        found = sorted({verdict for each in campaigns for verdict in each[field]})
        unpaid = [] if field in {"participations", "posts"} else [name for name in found if name not in _PAID]
        for verdict in found:
            if verdict not in unpaid:
                table.add_row(f"  {verdict}", *_counted(campaigns, field, verdict))
        if unpaid:
            table.add_row("  unpaid, because")
        for verdict in unpaid:
            reason = _REASONS.get(verdict, verdict.replace("_", " "))
            table.add_row(f"    {reason}", *_counted(campaigns, field, verdict))
    return table


def _counted(campaigns: Sequence[Json], field: str, name: str) -> list[str]:
    return [str(each[field].get(name, "-")) for each in campaigns]


def _payments(payments: Sequence[Json]) -> Table:
    table = _table("Largest payments")
    for column in ("influencer", "gross", "net", "status"):
        table.add_column(column, justify="right" if column in {"gross", "net"} else "left")
    largest = sorted(payments, key=lambda payment: (-Decimal(payment["net"]), payment["influencer"]))
    for each in largest[:5]:
        amounts = (f"{_short(Decimal(each[field]))} {each['currency']}" for field in ("gross", "net"))
        table.add_row(each["influencer"], *amounts, each["status"])
    return table


def _short(amount: Decimal) -> str:
    """A payment's amount, which is whole in the currency's minor unit, without its last zeros."""
    return f"{amount:.2f}" if amount == round(amount, 2) else str(amount)


def _table(title: str) -> Table:
    return Table(title=f"\n{title}", title_justify="left", box=None, pad_edge=False)


def _counts(found: Json) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(found.items())) or "-"
