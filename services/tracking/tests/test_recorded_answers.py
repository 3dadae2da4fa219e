"""The adapters read what the platforms really answered."""

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from souk.chassis.server import served
from souk.tracking.adapters import shopify
from souk.tracking.adapters.platform import PlatformRefusedError
from souk.tracking.adapters.youtube import YouTube
from souk.tracking.domain.conversions import refunded_lines

PAYLOADS = Path(__file__).parent / "payloads"


class Unlimited:
    async def spend(self, amount):
        pass

    async def exhaust(self):
        pass


def recorded(name, status=200):
    async def answer(scope, receive, send):
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": (PAYLOADS / name).read_bytes()})

    return answer


async def ask(name, question, status=200):
    async with served(recorded(name, status)) as url, httpx.AsyncClient(base_url=url) as client:
        return await question(YouTube(client, "key", Unlimited()))


async def test_a_recorded_channel_has_its_followers_and_uploads():
    channels = await ask("info_multiple.json", lambda tube: tube.channels(["UCK8sQmJBp8GCxrOtXWBpyEA"]))

    google = channels["UCK8sQmJBp8GCxrOtXWBpyEA"]
    assert (google.followers, google.video_count) == (10_700_000, 2678)
    assert google.uploads == "UUK8sQmJBp8GCxrOtXWBpyEA"


async def test_a_recorded_video_has_its_time_tags_and_counts():
    videos = await ask("videos_info_single.json", lambda tube: tube.videos(["D-lhorsDlUQ"]))

    video = videos["D-lhorsDlUQ"]
    assert video.url == "https://www.youtube.com/watch?v=D-lhorsDlUQ"
    assert video.published_at == datetime(2019, 3, 21, 20, 37, 49, tzinfo=UTC)
    assert video.counts.shares is None


async def test_a_recorded_refusal_is_one():
    with pytest.raises(PlatformRefusedError):
        await ask("error_permission_resp.json", lambda tube: tube.videos(["x"]), status=403)


def test_a_recorded_refund_lowers_its_own_lines_of_the_recorded_order():
    order = shopify.read_order(json.loads((PAYLOADS / "order.json").read_text()))
    refund = shopify.read_refund(json.loads((PAYLOADS / "refund.json").read_text()))

    lines = refunded_lines(order, [refund])

    assert (order.id, order.codes, order.currency) == (refund.order_id, ("TENOFF",), "USD")
    assert [(line.net, line.refunded) for line in lines] == [
        (199_000_000, 199_000_000), (199_000_000, 0), (199_000_000, 199_000_000),
    ]  # fmt: skip
