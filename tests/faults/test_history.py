"""What is remembered of what clients were told."""

from history import History


def test_of_more_requests_than_are_wanted_the_newest_are_kept() -> None:
    history = History(newest=3)

    for number in range(10):
        history.ask("order", order=number)

    kept = [told.subject["order"] for told in history.told]
    assert kept == list(range(10 - len(kept), 10))
    assert 3 <= len(kept) <= 6
    assert history.asked == 10


def test_otherwise_every_request_is_evidence() -> None:
    history = History()

    for number in range(10):
        history.ask("order", order=number)

    assert len(history.told) == history.asked == 10
