"""Billing's books against the rules of docs/money.md, by its database alone.

Rules are written here from the document, not from the service: the same mistake twice would find nothing.
What a budget and a cap were at a posting follows from the inputs kept with its entry: the room that was
left then, on top of what the postings before it used. Both may only rise, so none can be above today's.
"""

from collections.abc import Sequence
from typing import Any

from souk.checker.database import Connection
from souk.checker.finding import MOST, Finding
from souk.contracts.money import minor_unit

# Begins every question: one row for each entry that earns or costs, with what it adds. A payment debits
# payable too, and takes nothing back.
_STEPS = """
WITH step AS (
  SELECT e.id, e.campaign_id, e.participation_id, e.item_id, e.topic, e.subject, e.subject_version, e.inputs,
         coalesce(sum(p.amount) FILTER (WHERE p.account = 'receivable'), 0) AS cost,
         coalesce(-sum(p.amount) FILTER (WHERE p.account IN ('accrued', 'payable')), 0) AS earned,
         coalesce(-sum(p.amount) FILTER (WHERE p.account = 'payable'), 0) AS payable
  FROM entry e JOIN posting p ON p.entry_id = e.id
  WHERE p.account IN ('receivable', 'accrued', 'payable') AND NOT p.of_payment
  GROUP BY e.id
)"""

_UNBALANCED = """
SELECT p.entry_id, p.currency, sum(p.amount) AS amount,
       bool_or(e.id IS NULL) AS without, bool_or(e.currency <> p.currency) AS foreign
FROM posting p LEFT JOIN entry e ON e.id = p.entry_id
GROUP BY p.entry_id, p.currency
HAVING sum(p.amount) <> 0 OR bool_or(e.id IS NULL) OR bool_or(e.currency <> p.currency)
ORDER BY p.entry_id LIMIT $1
"""

_BALANCES = """
SELECT account, owner_id, currency, coalesce(b.amount, 0) AS kept, coalesce(p.amount, 0) AS posted,
       coalesce(b.postings, 0) AS kept_number, coalesce(p.number, 0) AS number
FROM (
  SELECT account, owner_id, currency, sum(amount) AS amount, count(*) AS number
  FROM posting GROUP BY account, owner_id, currency
) p FULL JOIN balance b USING (account, owner_id, currency)
WHERE (coalesce(b.amount, 0), coalesce(b.postings, 0)) <> (coalesce(p.amount, 0), coalesce(p.number, 0))
ORDER BY account, owner_id, currency LIMIT $1
"""

# A decision is all entries of one cause that were made of the same inputs: a fall, and the parts that it
# left room to. Inputs name the room before the first of them.
_BUDGETS = """
, running AS (
  SELECT *, sum(cost) OVER (PARTITION BY campaign_id ORDER BY id) AS consumed,
         (inputs ->> 'budget_room')::numeric AS room
  FROM step
),
decided AS (
  SELECT *, first_value(consumed - cost) OVER decision AS before, row_number() OVER decision AS place
  FROM running
  WINDOW decision AS (
    PARTITION BY campaign_id, participation_id, topic, subject, subject_version, inputs ORDER BY id
  )
),
bounded AS (
  SELECT *, max(before + room) FILTER (WHERE room > 0 AND place = 1)
              OVER (PARTITION BY campaign_id ORDER BY id ROWS UNBOUNDED PRECEDING) AS highest
  FROM decided
)
SELECT b.id, b.campaign_id, b.consumed, a.budget, b.before, b.room, b.highest
FROM bounded b LEFT JOIN account a ON a.id = b.campaign_id
WHERE b.consumed > coalesce(a.budget, 0) OR b.consumed < 0
   OR (b.cost > 0 AND (b.room IS NULL OR b.consumed - b.before > b.room))
   OR (b.room > 0 AND b.place = 1 AND (b.before + b.room < b.highest OR b.before + b.room > a.budget))
ORDER BY b.id LIMIT $1
"""

_CAPS = """
, running AS (
  SELECT *, sum(earned) OVER (PARTITION BY participation_id ORDER BY id) AS revenue,
         (inputs ->> 'cap_room')::numeric AS room, (inputs ->> 'cap')::numeric AS raised
  FROM step
),
decided AS (
  SELECT *, first_value(revenue - earned) OVER decision AS before, row_number() OVER decision AS place
  FROM running
  WINDOW decision AS (
    PARTITION BY participation_id, topic, subject, subject_version, inputs ORDER BY id
  )
),
bounded AS (
  SELECT *, max(before + room) FILTER (WHERE place = 1)
              OVER (PARTITION BY participation_id ORDER BY id ROWS UNBOUNDED PRECEDING) AS highest
  FROM decided
)
SELECT b.id, b.participation_id, b.revenue, a.cap, b.before, b.room, b.highest
FROM bounded b LEFT JOIN account a ON a.id = b.campaign_id
WHERE b.revenue > a.cap OR b.revenue < 0
   OR (b.earned > 0 AND b.revenue - b.before > b.room)
   OR (b.earned > 0 AND b.revenue > b.raised)
   OR (b.room IS NOT NULL AND b.place = 1 AND (b.before + b.room < b.highest OR b.before + b.room > a.cap))
ORDER BY b.id LIMIT $1
"""

# The price of which the margin is left after the revenue: the revenue is what the cost holds, rounded down.
_PRICES = """
, running AS (
  SELECT *, sum(earned) OVER sofar AS revenue, sum(cost) OVER sofar AS price FROM step
  WINDOW sofar AS (PARTITION BY participation_id ORDER BY id)
)
SELECT r.id, r.participation_id, r.revenue, r.price, a.margin, r.inputs ->> 'margin' AS margin_then
FROM running r LEFT JOIN account a ON a.id = r.campaign_id
WHERE r.revenue IS DISTINCT FROM div(r.price * (10000 - a.margin), 10000)
   OR (r.inputs ->> 'margin')::integer <> a.margin
ORDER BY r.id LIMIT $1
"""

_SUMS = """
, posted AS (
  SELECT participation_id AS id, sum(earned) AS revenue, sum(cost) AS cost, sum(payable) AS approved
  FROM step GROUP BY participation_id
),
spent AS (
  SELECT campaign_id AS id, sum(earned) AS revenue, sum(cost) AS cost FROM step GROUP BY campaign_id
)
SELECT 'participation' AS what, id, p.revenue, p.cost, p.approved, coalesce(s.revenue, 0) AS posted_revenue,
       coalesce(s.cost, 0) AS posted_cost, coalesce(s.approved, 0) AS posted_approved
FROM participation p FULL JOIN posted s USING (id)
WHERE (p.revenue, p.cost, p.approved)
      IS DISTINCT FROM (coalesce(s.revenue, 0), coalesce(s.cost, 0), coalesce(s.approved, 0))
UNION ALL
SELECT 'account', id, a.revenue, a.consumed, 0, coalesce(s.revenue, 0), coalesce(s.cost, 0), 0
FROM account a FULL JOIN spent s USING (id)
WHERE (a.revenue, a.consumed) IS DISTINCT FROM (coalesce(s.revenue, 0), coalesce(s.cost, 0))
ORDER BY 1, 2 LIMIT $1
"""

_SPLITS = """
, posted AS (SELECT item_id AS id, sum(earned) AS earned, sum(payable) AS payable FROM step GROUP BY item_id),
parts AS (
  SELECT participation_id AS id, sum(worth) AS worth, sum(earned) AS earned, sum(capped) AS capped,
         sum(refused) AS refused, sum(payable) AS payable
  FROM item GROUP BY participation_id
)
SELECT 'item' AS what, id, i.worth, i.earned, i.capped, i.refused,
       i.payable, coalesce(s.earned, 0) AS its_earned, coalesce(s.payable, 0) AS its_payable
FROM item i FULL JOIN posted s USING (id)
WHERE i.worth <> i.earned + i.capped + i.refused OR least(i.earned, i.capped, i.refused) < 0
   OR (i.earned, i.payable) IS DISTINCT FROM (coalesce(s.earned, 0), coalesce(s.payable, 0))
UNION ALL
SELECT 'participation', p.id, p.worth, p.revenue, p.capped, p.refused,
       p.approved, coalesce(s.earned, 0), coalesce(s.payable, 0)
FROM participation p LEFT JOIN parts s USING (id)
WHERE p.worth <> p.revenue + p.capped + p.refused
   OR (p.worth, p.revenue, p.capped, p.refused, p.approved)
      IS DISTINCT FROM (coalesce(s.worth, 0), coalesce(s.earned, 0), coalesce(s.capped, 0),
                        coalesce(s.refused, 0), coalesce(s.payable, 0))
ORDER BY 1, 2 LIMIT $1
"""

# A payment takes from payable what it is made of, and a participation's payments together no more than was
# ever payable to it at once: what was taken back since is taken from the next.
_PAYMENTS = """
, lines AS (SELECT payment_id AS id, sum(amount) AS amount FROM payment_line GROUP BY payment_id),
taken AS (
  SELECT e.payment_id AS id, sum(p.amount) AS amount
  FROM entry e JOIN posting p ON p.entry_id = e.id
  WHERE e.kind = 'payment' AND p.account = 'payable' GROUP BY e.payment_id
),
payouts AS (SELECT payment_id AS id, count(*) AS number FROM entry WHERE kind = 'payout' GROUP BY payment_id)
SELECT id, p.gross, coalesce(l.amount, 0) AS lines, coalesce(t.amount, 0) AS taken,
       coalesce(o.number, 0) AS payouts, p.status
FROM payment p FULL JOIN lines l USING (id) FULL JOIN taken t USING (id) FULL JOIN payouts o USING (id)
WHERE (p.gross, p.gross) IS DISTINCT FROM (coalesce(l.amount, 0), coalesce(t.amount, 0))
   OR coalesce(o.number, 0) <> CASE WHEN p.status = 'paid' THEN 1 ELSE 0 END
ORDER BY id LIMIT $1
"""

_OVERPAID = """
, running AS (
  SELECT owner_id, currency, sum(-amount) OVER (PARTITION BY owner_id, currency ORDER BY id) AS payable
  FROM posting WHERE account = 'payable' AND NOT of_payment
),
most AS (SELECT owner_id, currency, max(payable) AS payable FROM running GROUP BY owner_id, currency),
paid AS (
  SELECT owner_id, currency, sum(amount) AS paid
  FROM posting WHERE account = 'payable' AND of_payment GROUP BY owner_id, currency
)
SELECT owner_id, currency, paid, coalesce(payable, 0) AS payable
FROM paid LEFT JOIN most USING (owner_id, currency)
WHERE paid > coalesce(payable, 0)
ORDER BY owner_id LIMIT $1
"""


async def check(connection: Connection) -> list[Finding]:
    """Every rule at every posting. connection: a `snapshot` of billing's database; amounts are micros."""
    return [
        *[_unbalanced(row) for row in await _rows(connection, _UNBALANCED)],
        *[_balance(row) for row in await _rows(connection, _BALANCES)],
        *[_overspent(row) for row in await _rows(connection, _BUDGETS)],
        *[_over_cap(row) for row in await _rows(connection, _CAPS)],
        *[_price(row) for row in await _rows(connection, _PRICES)],
        *[_sum(row) for row in await _rows(connection, _SUMS)],
        *[_split(row) for row in await _rows(connection, _SPLITS)],
        *[_payment(row) for row in await _rows(connection, _PAYMENTS)],
        *[
            _overpaid(row)
            for row in await _rows(connection, _OVERPAID)
            # A payment is whole minor units, and may round up.
            if row["paid"] - row["payable"] >= minor_unit(row["currency"])
        ],
    ]


async def _rows(connection: Connection, query: str) -> Sequence[Any]:
    rows: Sequence[Any] = await connection.fetch(_STEPS + query, MOST)
    return rows


def _unbalanced(row: Any) -> Finding:
    why = f"legs sum to {row['amount']}"
    if row["without"]:
        why = "postings of no entry"
    elif row["foreign"]:
        why = "a leg in another currency than its entry"
    return Finding("unbalanced", f"entry {row['entry_id']} {row['currency']}", why)


def _balance(row: Any) -> Finding:
    return Finding(
        "balance_differs",
        f"{row['account']} {row['owner_id']} {row['currency']}",
        f"{row['kept']} of {row['kept_number']} postings is kept, {row['posted']} of {row['number']} posted",
    )


def _overspent(row: Any) -> Finding:
    return Finding(
        "overspent",
        f"entry {row['id']} of campaign {row['campaign_id']}",
        f"consumed {row['consumed']}, {row['before']} before it, room {row['room']}, "
        f"budget {row['budget']}, reckoned with {row['highest']} at most",
    )


def _over_cap(row: Any) -> Finding:
    return Finding(
        "over_cap",
        f"entry {row['id']} of participation {row['participation_id']}",
        f"earned {row['revenue']}, {row['before']} before it, room {row['room']}, "
        f"cap {row['cap']}, reckoned with {row['highest']} at most",
    )


def _price(row: Any) -> Finding:
    return Finding(
        "cost_differs",
        f"entry {row['id']} of participation {row['participation_id']}",
        f"revenue {row['revenue']} costs {row['price']} at {row['margin']} basis points"
        + (f", {row['margin_then']} then" if row["margin_then"] else ""),
    )


def _sum(row: Any) -> Finding:
    return Finding(
        "cost_differs",
        f"{row['what']} {row['id']}",
        f"revenue {row['revenue']}, cost {row['cost']}, approved {row['approved']} are kept; "
        f"{row['posted_revenue']}, {row['posted_cost']}, {row['posted_approved']} posted",
    )


def _split(row: Any) -> Finding:
    return Finding(
        "split_differs",
        f"{row['what']} {row['id']}",
        f"worth {row['worth']} is earned {row['earned']}, capped {row['capped']}, refused {row['refused']}, "
        f"payable {row['payable']}; its parts are earned {row['its_earned']}, payable {row['its_payable']}",
    )


def _payment(row: Any) -> Finding:
    return Finding(
        "payment_differs",
        f"payment {row['id']}",
        f"gross {row['gross']} has lines of {row['lines']} and took {row['taken']} from payable; "
        f"it is {row['status']}, with {row['payouts']} payouts",
    )


def _overpaid(row: Any) -> Finding:
    return Finding(
        "overpaid",
        f"participation {row['owner_id']} {row['currency']}",
        f"{row['paid']} was paid, {row['payable']} payable at most",
    )
