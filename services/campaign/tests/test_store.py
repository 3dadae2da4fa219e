"""The tables as the code knows them, and what is published again from them."""

from uuid import UUID

from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from souk.campaign.main import build
from souk.campaign.settings import CampaignSettings
from souk.campaign.store.tables import metadata
from souk.contracts.topics import TOPICS


async def test_the_tables_are_those_that_the_migrations_make(units):
    found = MetaData()

    async with units.begin() as work:
        await work.connection.run_sync(
            lambda connection: found.reflect(connection, only=list(metadata.tables))
        )

    def shape(tables: MetaData) -> dict:
        return {
            table.name: (
                {(column.name, column.type.compile(dialect()), column.nullable) for column in table.columns},
                {
                    (index.name, tuple(column.name for column in index.columns), bool(index.unique))
                    for index in table.indexes
                },
                {(key.parent.name, key.column.table.name) for key in table.foreign_keys},
            )
            for table in tables.sorted_tables
        }

    assert shape(found) == shape(metadata)


async def test_everything_owned_is_published_again_as_it_is(suite):
    platform = await suite.organisation("platform")
    person = {"organisation_id": str(platform), "email": "ann@souk.test", "name": "Ann"}
    await suite.staff.post("/v1/users", person)
    draft = await suite.campaign()
    await suite.staff.patch(f"/v1/campaigns/{draft['id']}", {"agency_margin": "1", "title": "Twice"})
    await suite.campaign(approved=True)
    newest = {(type(state), state.id): state for _, state in await suite.published()}
    republishers = build(CampaignSettings(kafka="unused", database="postgresql://unused")).republishers

    again, after = {}, None
    async with suite.units.begin() as work:
        for republish in republishers.values():
            after = UUID(int=0)
            while states := await republish(work, after, 1):
                again |= {(type(state), state.id): state for state in states}
                after = states[-1].id

    assert again == newest
    assert {topic.name for topic in republishers} == {t.name for t in TOPICS if t.owner == "campaign"}
