"""Every acknowledged request has its effect once; a refused one has none; an unknown one has it at most once.

Read from the services' databases, and compared with what clients were told.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
from history import History, Told

from souk.checker.clicks import lost

Fault = Literal["lost", "doubled", "undone", "told_twice", "went_back"]
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Broken:
    """lost: acknowledged without an effect. doubled: more than one. undone: an effect that was refused.
    told_twice: a message that went out more than once. went_back: what only grows became less."""

    fault: Fault
    kind: str
    subject: str


Databases = Mapping[str, asyncpg.Pool]
Check = Callable[[Databases, History], Awaitable[list[Broken]]]


async def check(databases: Databases, history: History) -> list[Broken]:
    """databases: by service. The suite must be at rest."""
    return [broken for each in CHECKS for broken in await each(databases, history)]


async def drafts(databases: Databases, history: History) -> list[Broken]:
    found = await _counted(databases["campaign"], "SELECT title, count(*) FROM campaign GROUP BY title")
    return list(_once("draft", ((t, t.subject["title"]) for t in history.of("draft")), found))


async def approvals(databases: Databases, history: History) -> list[Broken]:
    rows = await databases["campaign"].fetch("SELECT id FROM campaign WHERE approved_at IS NOT NULL")
    there = Counter(str(row["id"]) for row in rows)
    return list(_once("approve", ((t, t.subject["campaign"]) for t in history.of("approve")), there))


async def budgets(databases: Databases, history: History) -> list[Broken]:
    """A budget is the highest acknowledged, of draft and raises, or an unknown one above it; and that of an
    approved campaign is billing's."""
    rows = await databases["campaign"].fetch("SELECT id, budget, approved_at FROM campaign")
    budget = defaultdict(int, {str(row["id"]): row["budget"] // MICROS for row in rows})
    accounts = await databases["billing"].fetch("SELECT id, budget FROM account WHERE approved")
    billed = {row["id"]: row["budget"] for row in accounts}
    differing = [
        Broken("lost", "budget", f"{row['id']}: {row['budget']}, billing has {billed.get(row['id'])}")
        for row in rows
        if row["approved_at"] is not None and billed.get(row["id"]) != row["budget"]
    ]
    highest: dict[str, int] = defaultdict(int)
    possible: dict[str, set[int]] = defaultdict(set)
    for told in history.of("draft", "acknowledged"):
        highest[told.answer["id"]] = told.subject["budget"]
    for told in history.of("raise"):
        name, wanted = told.subject["campaign"], told.subject["budget"]
        if told.outcome == "acknowledged":
            highest[name] = max(highest[name], wanted)
        if told.outcome != "refused":
            possible[name].add(wanted)
    return differing + [
        Broken("lost" if budget[name] < least else "undone", "raise", f"{name}: {budget[name]}, told {least}")
        for name, least in highest.items()
        if budget[name] < least or (budget[name] > least and budget[name] not in possible[name])
    ]


async def edits(databases: Databases, history: History) -> list[Broken]:
    """A campaign says what the last acknowledged edit said, or an unknown one, and nothing that was refused;
    its cap and end are no less than any acknowledged."""
    rows = await databases["campaign"].fetch("SELECT id, post_requirements, cap, end_date FROM campaign")
    found = {str(row["id"]): row for row in rows}
    asked: dict[str, list[Told]] = defaultdict(list)
    for told in history.of("edit"):
        asked[told.subject["campaign"]].append(told)
    broken = []
    for name, all_told in asked.items():
        row = found.get(name)
        if row is None:
            broken.append(Broken("lost", "draft", name))
            continue
        acknowledged = [told for told in all_told if told.outcome == "acknowledged"]
        last = max(acknowledged, key=lambda told: int(told.answer["version"]), default=None)
        # No two edits have the same words.
        edit = {told.subject["post_requirements"]: told for told in all_told}.get(row["post_requirements"])
        said = last.subject["post_requirements"] if last else ""
        if edit is not None and not edit.may_have_effect:
            broken.append(Broken("undone", "edit", f"{name}: {row['post_requirements']!r}"))
        elif row["post_requirements"] != said and (edit is None or edit.outcome == "acknowledged"):
            broken.append(Broken("lost", "edit", f"{name}: {row['post_requirements']!r}"))
        for told in acknowledged:
            asks = told.subject
            if row["cap"] < Decimal(asks.get("cap", 0)) * MICROS or str(row["end_date"]) < asks.get(
                "end_date", ""
            ):
                broken.append(Broken("lost", "edit", f"{name}: {asks}"))
    return broken


async def joins(databases: Databases, history: History) -> list[Broken]:
    rows = await databases["influencer"].fetch(
        "SELECT campaign_id || ' ' || influencer_id AS pair, count(*) AS n FROM participation"
        " WHERE state <> 'unavailable' GROUP BY 1"
    )
    found = Counter({row["pair"]: row["n"] for row in rows})
    asked = ((t, f"{t.subject['campaign']} {t.subject['influencer']}") for t in history.of("join"))
    return list(_once("join", asked, found))


async def moves(databases: Databases, history: History) -> list[Broken]:
    """Whoever was accepted has joined, and whoever withdrew is out; nobody is who was only refused that."""
    rows = await databases["influencer"].fetch("SELECT id, state, applied_at, joined_at FROM participation")
    there = {
        "accept": Counter(str(row["id"]) for row in rows if row["applied_at"] and row["joined_at"]),
        "withdraw": Counter(str(row["id"]) for row in rows if row["state"] == "withdrawn"),
    }
    return [
        broken
        for kind, found in there.items()
        for broken in _once(kind, ((t, t.subject["participation"]) for t in history.of(kind)), found)
    ]


async def shops(databases: Databases, history: History) -> list[Broken]:
    """A shop that was opened is there, and a campaign has no more of them than were asked for."""
    rows = await databases["tracking"].fetch("SELECT id, campaign_id FROM shop")
    kept = {str(row["id"]) for row in rows}
    asked = Counter(told.subject["campaign"] for told in history.of("shop") if told.may_have_effect)
    return [
        Broken("lost", "shop", told.answer["id"])
        for told in history.of("shop", "acknowledged")
        if told.answer["id"] not in kept
    ] + [
        Broken("doubled" if asked[name] else "undone", "shop", f"{name}: {number} of {asked[name]}")
        for name, number in Counter(str(row["campaign_id"]) for row in rows).items()
        if number > asked[name]
    ]


async def clicks(databases: Databases, history: History) -> list[Broken]:
    """Every click that got its redirect is kept and counted, once, as long as single clicks are kept; a link
    has no more than were asked for, and a visitor, who comes once, has one."""
    told = [
        UUID(t.answer["click"])
        for t in history.of("click", "acknowledged")
        if "click" in t.answer and history.lately(t, _CLICKS_KEPT)
    ]
    findings = await lost(databases["tracking"], told)
    asked = Counter(t.subject["link"] for t in history.of("click") if t.may_have_effect)
    rows = await databases["tracking"].fetch(
        "SELECT url, count(*) AS n FROM click JOIN link ON link.id = link_id WHERE url IS NOT NULL GROUP BY 1"
    )
    kept = {urlsplit(row["url"]).path: row["n"] for row in rows}
    twice = await databases["tracking"].fetch(
        "SELECT visitor, count(*) AS n FROM click GROUP BY visitor HAVING count(*) > 1"
    )
    return (
        [Broken("lost", "click", f"{each.subject}: {each.detail}") for each in findings]
        + [
            Broken("doubled", "click", f"{link}: {number} are kept, {asked[link]} were asked for")
            for link, number in kept.items()
            if number > asked[link]
        ]
        + [Broken("doubled", "click", f"visitor {row['visitor']} has {row['n']}") for row in twice]
    )


_CLICKS_KEPT = timedelta(days=390)
"""Tracking keeps single clicks for ten days more (docs/bounds.md)."""


async def reversals(databases: Databases, history: History) -> list[Broken]:
    """A click of which everybody asked the same, and somebody was told that it was changed, is so; and none
    is taken back for which nobody asked that, or was only refused it."""
    wanted: dict[str, set[bool]] = defaultdict(set)
    certain: set[str] = set()
    for told in history.of("reverse"):
        for click in told.subject["clicks"] if told.may_have_effect else ():
            wanted[click].add(told.subject["reversed"])
            # Clicks without a verdict yet are not changed, nor counted.
            if told.outcome == "acknowledged" and told.answer["changed"] == len(told.subject["clicks"]):
                certain.add(click)
    rows = await databases["tracking"].fetch(
        "SELECT id, reversed FROM click WHERE verdict = 'billable' AND id = ANY($1)",
        [UUID(click) for click in certain if len(wanted[click]) == 1],
    )
    taken_back = await databases["tracking"].fetch("SELECT id FROM click WHERE reversed")
    return [
        Broken("lost", "reverse", str(row["id"]))
        for row in rows
        if {row["reversed"]} != wanted[str(row["id"])]
    ] + [
        Broken("undone", "reverse", str(row["id"]))
        for row in taken_back
        if True not in wanted[str(row["id"])]
    ]


async def codes(databases: Databases, history: History) -> list[Broken]:
    """The codes that were taken are in the pool, once, and nobody shares one."""
    rows = await databases["influencer"].fetch(
        "SELECT campaign_id || ' ' || referral_code AS name FROM participation"
        " WHERE referral_code IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    )
    pool = await _counted(databases["influencer"], "SELECT code, count(*) FROM referral_code GROUP BY code")
    asked = ((told, code) for told in history.of("codes") for code in told.subject["codes"])
    return [*_once("codes", asked, pool), *(Broken("doubled", "code", row["name"]) for row in rows)]


async def facts(databases: Databases, history: History) -> list[Broken]:
    """What billing decides of a post, link or order it decides by ever newer versions; and no fact waits for
    what is there."""
    older = await databases["billing"].fetch(
        "SELECT subject, min(subject_version) AS version FROM (SELECT subject, subject_version,"
        " lag(subject_version) OVER (PARTITION BY topic, subject ORDER BY id) AS before FROM entry"
        " WHERE topic = ANY($1)) AS told WHERE subject_version < before GROUP BY 1",
        ["tracking.posts.v1", "tracking.links.v1", "tracking.conversions.v1"],
    )
    waiting = await databases["billing"].fetch(
        "SELECT item.id FROM item JOIN participation ON participation.id = item.participation_id"
        " JOIN account ON account.id = item.campaign_id"
        " WHERE NOT folded AND account.approved AND NOT behind"
        " AND terms_version >= greatest(1, terms_needed)"
    )
    return [
        *(Broken("went_back", "ledger", f"{row['subject']} to version {row['version']}") for row in older),
        *(Broken("lost", "fact", str(row["id"])) for row in waiting),
    ]


async def counts(databases: Databases, history: History) -> list[Broken]:
    """Billing reckons with what tracking counted, of every post and every link."""
    told = {
        row["id"]: tuple(row)
        for query in (
            "SELECT id, version, counted_views, counted_likes, counted_comments, 0 FROM post",
            "SELECT id, version, 0, 0, 0, billable FROM link",
        )
        for row in await databases["tracking"].fetch(query)
    }
    taken = await databases["billing"].fetch(
        "SELECT id, version, views, likes, comments, units FROM item WHERE kind IN (1, 2)"
    )
    return [
        Broken("lost", "count", f"{row['id']}: {tuple(row)[1:]} of {told[row['id']][1:]}")
        for row in taken
        if row["id"] in told and tuple(row) != told[row["id"]]
    ]


async def orders(databases: Databases, history: History) -> list[Broken]:
    """One conversion an order, worth its lines less the refunds that were told."""
    rows = await databases["tracking"].fetch(
        "SELECT campaign_id || ' ' || order_id AS name, count(*) AS n, min("
        " (SELECT coalesce(sum((line->>'refunded')::bigint), 0) FROM jsonb_array_elements(lines) AS line)"
        ") AS refunded, min("
        " (SELECT coalesce(sum((line->>'net')::bigint), 0) FROM jsonb_array_elements(lines) AS line)"
        ") AS net FROM conversion WHERE version > 0 GROUP BY 1"
    )
    found = Counter({row["name"]: row["n"] for row in rows})
    refunded = {row["name"]: row["refunded"] for row in rows}
    asked: dict[str, Told] = {}
    for told in history.of("order"):
        name = f"{told.subject['campaign']} {told.subject['order']}"
        # Sent twice on purpose: one acknowledgement of either is one conversion.
        if name not in asked or told.outcome == "acknowledged" or not asked[name].may_have_effect:
            asked[name] = told
    broken = list(_once("order", ((told, name) for name, told in asked.items()), found))
    net = {row["name"]: row["net"] for row in rows}
    worth = {name: int(Decimal(told.subject["net"]) * MICROS) for name, told in asked.items()}
    broken += [
        Broken("lost", "order", f"{name}: {int(net[name])} of {worth[name]}")
        for name in worth
        if name in net and net[name] != worth[name]
    ]
    possible = {told.subject["refund"] for told in history.of("refund") if told.may_have_effect}
    for told in history.of("refund"):
        name = f"{told.subject['campaign']} {told.subject['order']}"
        amount = int(Decimal(told.subject["amount"]) * MICROS)
        if name not in found:
            continue
        if told.outcome == "acknowledged" and refunded[name] < amount:
            broken.append(Broken("lost", "refund", name))
        if told.subject["refund"] not in possible and refunded[name]:
            broken.append(Broken("undone", "refund", name))
        if refunded[name] > amount:
            broken.append(Broken("doubled", "refund", name))
    return broken


async def judgements(databases: Databases, history: History) -> list[Broken]:
    """A post is what it was made, if all asked for the same, and never older than an answer; one that is
    approved keeps what was counted then; and none still waits to be effective."""
    rows = await databases["tracking"].fetch(
        "SELECT id, version, status, counted_views, counted_likes, counted_comments FROM post"
    )
    posts = {str(row["id"]): row for row in rows}
    judged: dict[str, list[Told]] = defaultdict(list)
    for told in history.told:
        if told.kind in _STANDING and told.may_have_effect:
            judged[told.subject["post"]].append(told)
    broken = [Broken("lost", "post_effective", str(row["id"])) for row in rows if row["status"] == "pending"]
    for name, all_told in judged.items():
        # What several asked for at once has no order that a client could know.
        kinds = {told.kind for told in all_told}
        acknowledged = [told for told in all_told if told.outcome == "acknowledged"]
        row = posts.get(name)
        broken += [
            Broken("lost", told.kind, f"{name}: {told.answer['status']} at {told.answer['version']}")
            for told in acknowledged
            if row is None
            or told.answer["status"] not in _STANDING[told.kind]
            or row["version"] < told.answer["version"]
            or (row["version"] == told.answer["version"] and row["status"] != told.answer["status"])
        ]
        if kinds == {"post_ineffective"} and acknowledged and (row is None or row["status"] != "ineffective"):
            broken.append(Broken("lost", "post_ineffective", name))
        if kinds != {"post_approve"}:
            continue
        if acknowledged and (row is None or row["status"] != "approved"):
            broken.append(Broken("lost", "post_approve", name))
        broken += [
            Broken("undone", "counted metrics", name)
            for told in acknowledged
            if row and any(
                told.answer["counted"][metric] != row[f"counted_{metric}"]
                for metric in ("views", "likes", "comments")
            )
        ]  # fmt: skip
    return broken


_STANDING = {
    "post_approve": ("approved",),
    "post_ineffective": ("ineffective",),
    "post_effective": ("pending", "effective", "warning"),
}
"""What a post is right after each."""


async def standings(databases: Databases, history: History) -> list[Broken]:
    """No post is approved or ineffective that nobody asked to be so, or that was only refused."""
    asked = {(t.kind, t.subject["post"]) for t in history.told if t.kind in _STANDING and t.may_have_effect}
    closed = {told.subject["campaign"] for told in history.of("close") if told.may_have_effect}
    rows = await databases["tracking"].fetch("SELECT id, campaign_id, status FROM post")
    return [
        Broken("undone", kind, str(row["id"]))
        for row in rows
        for kind in ("post_approve", "post_ineffective")
        if row["status"] in _STANDING[kind]
        and (kind, str(row["id"])) not in asked
        and not (kind == "post_approve" and str(row["campaign_id"]) in closed)
    ]


async def payments(databases: Databases, history: History) -> list[Broken]:
    """One a run and influencer; it is paid once that was acknowledged, has failed if only that was asked for,
    and took every step that was acknowledged, and none that wasn't asked for."""
    rows = await databases["billing"].fetch("SELECT id, version, status FROM payment")
    asked: dict[str, set[str]] = defaultdict(set)
    acknowledged: dict[str, set[str]] = defaultdict(set)
    for told in history.told:
        if told.kind in _STEPS and told.may_have_effect:
            asked[told.subject["payment"]].add(told.kind)
            if told.outcome == "acknowledged":
                acknowledged[told.subject["payment"]].add(told.kind)
    broken = [
        Broken("undone", "payment", str(row["id"]))
        for row in rows
        if row["version"] > 1 and not asked[str(row["id"])]
    ]
    payment = {str(row["id"]): row for row in rows}
    for name, kinds in acknowledged.items():
        row = payment.get(name)
        broken += [
            Broken("lost", kind, name)
            for kind in sorted(kinds)
            if row is None
            or row["version"] < _STEPS[kind]
            or (kind == "payment_paid" and row["status"] != "paid")
            or (asked[name] == {kind} == {"payment_failed"} and row["status"] != "failed")
        ]
    doubled = await databases["billing"].fetch(
        "SELECT influencer_id, currency, run FROM payment GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )
    return broken + [Broken("doubled", "payment", str(row["influencer_id"])) for row in doubled]


_STEPS = {"payment_paid": 2, "payment_failed": 2, "payment_corrected": 3}
"""The version that a payment, made at version 1, has at least after each."""


CHECKS: Sequence[Check] = (
    *(drafts, approvals, budgets, edits, joins, moves, codes, shops),
    *(clicks, reversals, orders, judgements, standings, facts, counts, payments),
)


async def _counted(database: asyncpg.Connection, query: str) -> Counter[str]:
    return Counter({row[0]: row[1] for row in await database.fetch(query)})


def _once(kind: str, asked: Iterable[tuple[Told, str]], found: Counter[str]) -> Iterable[Broken]:
    """Each name that was asked for is there at most once, for certain when it was acknowledged, and not at
    all when every time it was asked for it was refused at once."""
    possible: set[str] = set()
    refused: set[str] = set()
    for told, name in asked:
        if told.outcome == "acknowledged" and not found[name]:
            yield Broken("lost", kind, name)
        if found[name] > 1:
            yield Broken("doubled", kind, name)
        (possible if told.may_have_effect else refused).add(name)
    for name in refused - possible:
        if found[name]:
            yield Broken("undone", kind, name)
