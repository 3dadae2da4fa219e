"""The checker on books that the service itself made: silent on them, and loud once they are tampered with."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from souk.billing.handlers import payments
from souk.checker import ledger
from souk.checker.check import check
from souk.checker.database import snapshot
from souk.contracts.topics import TOPICS
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.earnings import Earning

from .conftest import ENDS, START, named
from .test_payments import CUT_OFF


@pytest.fixture
def url(billing):
    return billing.units.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
async def told(billing, states):
    """A campaign's life: growth to the last micro, falls, refusals, releases, raises, approvals, payments."""
    rates = Rates(posting=5, view=1, click=3, conversion=11, commission=1_000, follower=2)
    campaign = {"rates": rates, "cap": 100, "budget": 200}
    facts = [
        states.terms(margin=3_300),
        states.campaign(**campaign),
        states.payee(),
        states.payee("bob", country="JP"),
        states.influencer(),
        states.influencer("bob"),
        states.participation(followers_base=4),
        states.participation("bob"),
        states.post("a", views=54),
        states.post("b", views=45),
        states.post("c", "bob", views=35),
        states.post("a", views=47),
        states.post("c", "bob", views=45),
        states.post("a", views=47, status="ineffective", counts=False),
        states.post("c", "bob", views=60, status="approved"),
        states.link(billable=7),
        states.conversion("order", "bob", net=[1_000, 55], refunded=[500]),
        states.campaign(**(campaign | {"budget": 1_000, "budget_version": 2})),
        states.post("a", views=47, status="pending", counts=True),
        states.post("b", views=90),
        states.campaign(**(campaign | {"cap": 400, "budget": 2_000_000, "budget_version": 3})),
        states.link(billable=900, reversed=3),
        states.link(billable=300, reversed=600),
        states.conversion("order", "ann", net=[1_000, 55], refunded=[500]),
        states.conversion("order", None, net=[1_000, 55], refunded=[1_000, 55], attribution=None),
    ]
    for place, fact in enumerate(facts):
        billing.at(START + timedelta(hours=place))
        facts[place] = fact.model_copy(update={"changed_at": states.now})
        await billing.tell(facts[place])
    return facts


async def found(url):
    async with snapshot(url) as connection:
        return await ledger.check(connection)


async def test_nothing_is_found_on_books_that_the_service_made(billing, told, url):
    assert await found(url) == []
    earnings = [state for _, state in await billing.published(Earning)]
    assert any(state.capped for state in earnings)
    assert any(state.refused for state in earnings)
    assert {state.consumed == state.budget for _, state in await billing.published(Budget)} == {True, False}

    billing.at(ENDS + timedelta(days=1))
    await billing.run_timers()
    await billing.run_payments()

    assert await found(url) == []
    assert (await billing.balances())["receivable"] > 0


@pytest.fixture
def kafka(stack):
    return stack.kafka.access("admin").client()


@pytest.fixture
async def topics_told(billing, told, kafka, topic_copies):
    """Topics of the test's own with all that billing was told, and all that it told."""
    copies = topic_copies(*TOPICS)
    of = {topic.state: topic for topic in copies}
    producer = AIOKafkaProducer(**kafka)
    await producer.start()
    try:
        for state in [*told, *(state for _, state in await billing.published())]:
            topic = of[type(state)]
            await producer.send(
                topic.name, topic.dump(state), key=topic.key(state), partition=topic.partition(state)
            )
    finally:
        await producer.stop()
    return copies


async def test_nothing_is_found_between_billings_rows_and_the_topics(url, kafka, topics_told):
    report = await check({"billing": url}, kafka, topics=topics_told, now=ENDS)

    assert list(map(str, report.findings)) == []
    assert report.checked["postings"] > 20


_GROWN = "(SELECT min(id) FROM entry WHERE (inputs ->> 'budget_room')::bigint > 0 AND participation_id = ann)"
FAULTS = {
    "UPDATE posting SET amount = amount + 1 WHERE account = 'margin' AND entry_id = grown":
        {"unbalanced", "balance_differs"},
    "DELETE FROM entry WHERE id = grown": {"unbalanced"},
    "UPDATE posting SET currency = 'JPY' WHERE entry_id = grown": {"unbalanced"},
    "UPDATE balance SET amount = amount + 1 WHERE account = 'receivable'": {"balance_differs"},
    "UPDATE balance SET postings = postings + 1 WHERE account = 'accrued'": {"balance_differs"},
    "DELETE FROM balance WHERE account = 'margin'": {"balance_differs"},
    "UPDATE account SET budget = consumed - 1": {"overspent"},
    # Reckoned with more than was left, as if another's postings had not been seen.
    "UPDATE entry SET inputs = inputs || '{\"budget_room\": 1900000}' WHERE id = grown": {"overspent"},
    "UPDATE entry SET inputs = inputs || '{\"budget_room\": 1}' WHERE id = grown": {"overspent"},
    "UPDATE entry SET inputs = inputs - 'budget_room' WHERE id = grown": {"overspent"},
    "UPDATE account SET cap = 99": {"over_cap"},
    "UPDATE entry SET inputs = inputs || '{\"cap_room\": 399}' WHERE id = grown": {"over_cap"},
    "UPDATE entry SET inputs = inputs || '{\"cap_room\": 1}' WHERE id = grown": {"over_cap"},
    "UPDATE posting SET amount = amount + CASE account WHEN 'margin' THEN 1 ELSE -1 END "
    "WHERE account IN ('margin', 'accrued') AND entry_id = grown":
        {"cost_differs", "balance_differs", "split_differs"},
    "UPDATE account SET margin = 3000": {"cost_differs"},
    "UPDATE account SET consumed = consumed + 1": {"cost_differs"},
    "UPDATE participation SET cost = cost + 1 WHERE id = ann": {"cost_differs"},
    "UPDATE item SET refused = refused + 1 WHERE name = 'a'": {"split_differs"},
    "UPDATE item SET earned = earned - 1, refused = refused + 1 WHERE name = 'b'": {"split_differs"},
    "UPDATE participation SET capped = capped + 1, worth = worth + 1 WHERE id = ann": {"split_differs"},
}  # fmt: skip


async def found_in_each(url, faults):
    """The checks that tell of each fault, done to sound books and undone again."""
    found = {}
    connection = await asyncpg.connect(url)
    try:
        async with undone(connection):
            await unguard(connection)
            assert await ledger.check(connection) == []
            for fault in faults:
                async with undone(connection):
                    await connection.execute(fault)
                    found[fault] = {one.check for one in await ledger.check(connection)}
    finally:
        await connection.close()
    return found


async def test_each_fault_in_the_books_is_found(told, states, url):
    ann = f"'{states.part('ann')}'"
    grown = _GROWN.replace("ann)", f"{ann})")
    faults = {
        fault.replace("= grown", f"= {grown}").replace("= ann", f"= {ann}"): expected
        for fault, expected in FAULTS.items()
    }

    found = await found_in_each(url, faults)

    assert {fault: found[fault] & expected for fault, expected in faults.items()} == faults


FAULTS_OF_PAYMENTS = {
    "UPDATE payment SET gross = gross - 10000": {"payment_differs"},
    "UPDATE payment_line SET amount = amount + 10000": {"payment_differs"},
    "UPDATE payment SET status = 'reviewing'": {"payment_differs"},
    # As a second run that pays the same again.
    "UPDATE posting SET amount = 2 * amount WHERE of_payment": {"payment_differs", "overpaid"},
}


async def test_each_fault_in_payments_is_found(billing, states, url):
    await billing.tell(states.campaign(), states.terms(), states.participation(), states.payee())
    billing.at(CUT_OFF - timedelta(hours=1))
    await billing.tell(states.post(views=3_004_999, status="approved"))
    await billing.run_payments()
    async with billing.units.begin() as work:
        rows = await payments.store.lock(work, [payment.id for payment in await billing.payments()])
        await payments.settle_payments(work, rows, "paid", None)

    found = await found_in_each(url, FAULTS_OF_PAYMENTS)

    assert {fault: found[fault] & expected for fault, expected in FAULTS_OF_PAYMENTS.items()} == (
        FAULTS_OF_PAYMENTS
    )


@asynccontextmanager
async def undone(connection):
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def unguard(connection):
    """Take away the database's own guards, which these faults could not get past."""
    checks = await connection.fetch(
        "SELECT conrelid::regclass::text AS of, conname AS name FROM pg_constraint "
        "WHERE contype = 'c' AND conrelid <> 0"
    )
    for check_ in checks:
        await connection.execute(f"ALTER TABLE {check_['of']} DROP CONSTRAINT {check_['name']}")
    for table in ("posting", "entry"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


async def test_the_command_prints_what_the_service_can_see_and_its_exit_code_says_whether_it_fits(
    stack, topics, billing, states, url
):
    environment = os.environ | stack.environment("billing") | {"SOUK_BILLING_DATABASE": url}

    code, *_, last = await command(environment)
    assert code == (1 if last["findings"] else 0)
    assert last["checked"]["postings"] == 0
    assert last["checked"]["topics"].keys() == {
        topic.name for topic in TOPICS if topic.owner == "billing" or "billing" in topic.readers
    }

    owner = uuid4()
    await billing.tell(states.campaign(), states.terms())
    await billing.sql(f"INSERT INTO balance VALUES ('margin', '{owner}', 'USD', 5, 1)")
    code, *found, last = await command(environment)
    assert code == 1
    assert last["findings"] == len(found)
    assert {
        "check": "balance_differs",
        "subject": f"margin {owner} USD",
        "detail": "5 of 1 postings is kept, 0 of 0 posted",
    } in found
    # Nobody takes to Kafka what billing told of it.
    assert ("owner_differs", f"billing.account billing.budgets.v1 {named('campaign')}") in {
        (each["check"], each["subject"]) for each in found
    }


async def command(environment):
    """Exit code and printed objects of `souk-billing check`."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("souk-billing"), "check", "--patience", "0",
        env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode, *map(json.loads, printed.splitlines())
