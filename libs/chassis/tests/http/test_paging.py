"""Pages by keyset: every row once, in order; a cursor belongs to its list."""

import base64
import json

import pytest
from sqlalchemy import Column, DateTime, MetaData, Table, Text, select

from souk.chassis.paging import Cursor
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason


async def _fill(api, amounts):
    for number, amount in enumerate(amounts):
        await api.post({"name": "even" if number % 2 else "odd", "amount": amount}, f"k{number}")


async def test_pages_show_every_row_once_in_order_with_ties(api):
    await _fill(api, ["1", "1", "1", "0.5", "2", "1", "-3"])

    seen, cursor = [], None
    for _ in range(10):
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await api.client.get("/v1/things", params=query)).json()
        seen += page["items"]
        cursor = page["next"]
        if cursor is None:
            break

    assert [item["amount"] for item in seen] == [
        "-3.000000", "0.500000", "1.000000", "1.000000", "1.000000", "1.000000", "2.000000",
    ]  # fmt: skip
    assert len({item["id"] for item in seen}) == 7


async def test_last_full_page_has_no_next(api):
    await _fill(api, ["1", "2"])

    page = (await api.client.get("/v1/things", params={"limit": 2})).json()

    assert len(page["items"]) == 2
    assert page["next"] is None


async def test_cursor_of_another_list_is_refused(api):
    await _fill(api, ["1", "2", "3"])
    cursor = (await api.client.get("/v1/things", params={"limit": 1})).json()["next"]

    answer = await api.client.get("/v1/things", params={"name": "odd", "cursor": cursor})

    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_cursor")


def _encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor", ["", "%%%", "YQ", "é", _encoded({}), _encoded([]), _encoded(5), _encoded([[1]])]
)
async def test_malformed_cursor_is_refused(api, cursor):
    answer = await api.client.get("/v1/things", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "keys",
    [
        *(["x", "y"], [1], [1, 2, 3], [1, "no-uuid"], [[1], {}]),
        *([10**30, "00000000-0000-0000-0000-000000000000"], [True, "00000000-0000-0000-0000-000000000000"]),
    ],
)
async def test_cursor_with_wrong_keys_is_refused(api, keys):
    await _fill(api, ["1", "2", "3"])
    cursor = (await api.client.get("/v1/things", params={"limit": 1})).json()["next"]
    tag = json.loads(base64.urlsafe_b64decode(cursor + "=="))[0]

    answer = await api.client.get("/v1/things", params={"cursor": _encoded([tag, *keys])})

    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "key",
    [
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2017-09-20T00:00:00"),
        *("\ud800", "a\0b"),
    ],
)
def test_keys_that_no_column_could_hold_are_refused(key):
    kind = DateTime(timezone=True) if key[:1].isdigit() else Text()
    column = Table("thing", MetaData(), Column("key", kind)).c.key

    with pytest.raises(Refused) as refused:
        Cursor(10, (key,), "tag").over(select(column), column)

    assert refused.value.reason == Reason.INVALID_CURSOR
