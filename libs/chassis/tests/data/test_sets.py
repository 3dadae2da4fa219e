"""Sets of values in statements."""

from uuid import uuid4

from sqlalchemy import select, text

from souk.chassis import store
from souk.chassis.sets import among

from .conftest import House, copy


async def test_a_set_of_any_size_is_found_by_one_prepared_statement(desk: House) -> None:
    ids = sorted(uuid4() for _ in range(3))
    rows = [{"id": each, "version": 1, "name": "", "tags": [], "extra": {}} for each in ids]
    async with desk.billing.begin() as work:
        await store.upsert_newer(work, copy, rows)

    async with desk.billing.begin() as work:
        found = [
            [
                row.id
                for row in await work.fetch_all(select(copy).where(among(copy.c.id, ids[:n])).order_by("id"))
            ]
            for n in range(4)
        ]
        [prepared] = await work.fetch_all(
            text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT copy.%'")
        )

    assert found == [ids[:0], ids[:1], ids[:2], ids[:3]]
    assert prepared.count == 1
