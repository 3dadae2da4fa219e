"""From a unit of work through outbox and Kafka into another service's database."""

from .conftest import House, eventually, running, thing


async def test_a_published_state_is_applied_by_its_reader(house: House) -> None:
    intake = house.intake()

    async with running(house.relay().run(), house.runner(intake).run()):
        await house.publish(thing(name="a"), thing(name="b"))
        names = await eventually(house.applied)

    assert names == ["a", "b"]
