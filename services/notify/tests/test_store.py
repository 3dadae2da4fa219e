"""The schema, and the plans that the queries which matter get from their indexes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import ARRAY, Connection, MetaData, Uuid, cast, literal, select, text
from sqlalchemy.dialects import postgresql

from souk.chassis import tables as chassis_tables
from souk.chassis.paging import Cursor
from souk.notify.store import notifications, tables
from souk.notify.store.tables import delivery

from .conftest import MARIE, SPRING, House


async def test_the_migrations_make_the_tables_of_the_code(house: House) -> None:
    whole = MetaData()
    for table in (*tables.metadata.sorted_tables, *chassis_tables.metadata.sorted_tables):
        table.to_metadata(whole)

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, whole)

    async with house.units.engine.connect() as connection:
        found = await connection.run_sync(differences)

    assert [each for each in found if "alembic_version" not in str(each)] == []


WAITING = select(delivery.c.id).where(delivery.c.status == "waiting")
DUE = select(delivery.c.id).where(
    delivery.c.status == "pending",
    delivery.c.channel == "email",
    delivery.c.next_attempt_at <= datetime.now(UTC),
)


MANY = """
    INSERT INTO delivery
        (id, version, influencer_id, channel, kind, subject_ids, campaign_ids, status, made_at, changed_at)
    SELECT gen_random_uuid(), 1, gen_random_uuid(), (ARRAY['email', 'push', 'in_app'])[1 + n % 3], 'x',
           '{}', ARRAY[gen_random_uuid()], (ARRAY['waiting', 'pending', 'sent', 'sent'])[1 + n % 4],
           now(), now()
    FROM generate_series(1, 20000) n
"""


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (DUE.order_by(delivery.c.next_attempt_at, delivery.c.id).limit(50), "delivery_pending"),
        (WAITING.where(delivery.c.influencer_id == MARIE), "delivery_waiting"),
        (
            WAITING.where(delivery.c.campaign_ids.overlap(cast(literal([SPRING], ARRAY(Uuid)), ARRAY(Uuid)))),
            "delivery_waiting_campaigns",
        ),
        (
            Cursor(50, None, "").over(
                notifications.of(MARIE, None),  # type: ignore[arg-type]
                delivery.c.made_at,
                delivery.c.id,
                descending=True,
            ),
            "delivery_notification",
        ),
    ],
)
async def test_queries_that_matter_are_answered_by_their_index(house: House, query: Any, index: str) -> None:
    sql = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})

    await house.execute(MANY)
    async with house.units.begin() as work:
        await work.execute(text("ANALYZE delivery"))
        plan = " ".join(
            str(row[0]) for row in await work.fetch_all(text(f"EXPLAIN {sql}".replace(":", r"\:")))
        )

    assert f" {index} " in plan + " ", plan
    assert index != "delivery_pending" or "Sort" not in plan, plan
