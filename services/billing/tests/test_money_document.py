"""The figures of docs/money.md are those of the code."""

import re
from pathlib import Path

import pytest

from souk.billing.domain.payout import RULES

DOCUMENT = Path(__file__).parents[3] / "docs" / "money.md"


def example():
    """Lines of the table: what happens, the splits of a, b and c, the campaign's cost."""
    text = DOCUMENT.read_text().split("## An example")[1].split("## ")[0]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[4].isdigit():
            yield cells[0], [tuple(map(int, cell.split())) for cell in cells[1:4]], int(cells[4])


async def test_the_worked_example_is_what_billing_does(billing, states):
    await billing.tell(states.campaign(cap=100, budget=200), states.terms(margin=3_300))
    await billing.tell(states.participation("ann"), states.participation("bob"))
    views = dict.fromkeys("abc", 0)
    lines = list(example())
    assert len(lines) == 7

    for what, splits, cost in lines:
        post = what[0]
        if counted := re.search(r"(\d+) views", what):
            views[post] = int(counted[1])
        status = "effective" if counted else "ineffective"
        await billing.tell(
            states.post(post, "bob" if post == "c" else "ann", views=views[post], status=status)
        )

        for name, split in zip("abc", splits, strict=True):
            rows = await billing.items(name)
            assert (rows or [(0, 0, 0)])[0] == split, (what, name)
        assert (await billing.account()).consumed == cost, what
    await billing.check_ledger()


@pytest.mark.parametrize(
    "figure", ["10.21 %", "¥1,000,000", "20.42 %", "10 % if registered", "¥330", "¥1,000"]
)
def test_the_rules_of_japan_are_those_of_the_table(figure):
    japan = RULES["JP"]
    low, high = japan.brackets
    known = {
        f"{low.rate / 100:.2f} %", f"¥{low.up_to:,}", f"{high.rate / 100:.2f} %",
        f"{japan.consumption_tax // 100} % if registered", f"¥{japan.fee}", f"¥{japan.minimum:,}",
    }  # fmt: skip

    assert figure in DOCUMENT.read_text()
    assert figure in known
