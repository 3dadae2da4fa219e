"""A read copy that is wrong is written anew from its topic, beside the worker."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from souk.chassis.intake import Intake
from souk.chassis.rebuild import rebuild
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work

from .conftest import House, copy, eventually, running, thing


async def keep(work: Work, states: Sequence[Any]) -> None:
    await upsert_newer(
        work, copy, [{"id": each.id, "version": each.version, "name": each.name} for each in states]
    )


def reader(house: House) -> Intake:
    intake = Intake("billing")
    intake.reads(house.things, copy=copy)(keep)
    intake.reads(house.others)(keep)
    return intake


async def test_copies_are_written_anew_while_the_worker_runs(house: House) -> None:
    intake = reader(house)
    names = ["a", "b", "c"]

    async def right() -> bool:
        return await house.query("SELECT name, version FROM copy ORDER BY name") == [(n, 2) for n in names]

    await house.publish(*(thing(version=2, partition=4, name=name) for name in names))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(right)
        async with house.billing.begin() as work:
            await work.execute(text("UPDATE copy SET name = 'wrong' WHERE name = 'b'"))

        reset = await rebuild(house.billing, intake, [house.things.name])

        assert reset == {house.things.name: 3}
        await eventually(right)


async def test_what_is_no_copy_is_not_touched(house: House) -> None:
    intake = reader(house)
    with pytest.raises(KeyError):
        await rebuild(house.billing, intake, [house.things.name, house.others.name])
    assert intake.copies.keys() == {house.things.name}
