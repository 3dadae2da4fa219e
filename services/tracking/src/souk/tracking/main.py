"""The composition root of the tracking service: `souk-tracking api | worker | all | redirect | …`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from souk.chassis.commands import commands, settings_or_exit
from souk.chassis.process import Parts, Runtime, Service
from souk.chassis.work import Units
from souk.contracts.topics.accounts import ACCOUNTS
from souk.contracts.topics.conversions import CONVERSIONS
from souk.contracts.topics.links import LINKS
from souk.contracts.topics.posts import POSTS
from souk.tracking import subscriptions, timers
from souk.tracking.adapters import youtube
from souk.tracking.adapters.platform import Platform
from souk.tracking.api import accounts, clicks, conversions, hooks, links, posts, shops
from souk.tracking.settings import TrackingSettings
from souk.tracking.store import accounts as account_store
from souk.tracking.store import conversions as conversion_store
from souk.tracking.store import copies
from souk.tracking.store import links as link_store
from souk.tracking.store import posts as post_store
from souk.tracking.store.quota import Quota
from souk.tracking.store.sealing import Seal


def build(settings: TrackingSettings) -> Parts:
    seal = Seal(settings.secret.get_secret_value())
    client = youtube.open_client(settings.youtube_url)

    @asynccontextmanager
    async def reach(units: Units) -> AsyncIterator[Platform]:
        quota = Quota(units, timers.PLATFORM, settings.youtube_quota)
        try:
            yield youtube.YouTube(client, settings.youtube_key.get_secret_value(), quota)
        finally:
            await quota.settle()

    async def schedule(runtime: Runtime) -> None:
        await timers.begin(runtime.units, settings)
        await asyncio.Event().wait()

    return Parts(
        routers=[
            accounts.routes(reach, seal),
            posts.routes,
            links.routes,
            clicks.routes,
            conversions.routes,
            shops.routes(seal, settings.public_url),
            hooks.routes(seal),
        ],
        intake=subscriptions.intake(settings),
        timers=timers.timers(settings, reach),
        republishers={
            ACCOUNTS: account_store.republished,
            POSTS: post_store.republished,
            LINKS: link_store.republished,
            CONVERSIONS: conversion_store.republished,
        },
        background={"schedule": schedule},
        permissions_of=copies.levels_of,
        closers=[client.aclose],
    )


SERVICE = Service("tracking", TrackingSettings, build)
main = commands(SERVICE)


@main.command()
def redirect() -> None:
    """Answer tracking links: count the click, lead to the landing page."""
    from souk.tracking.redirect.process import run

    raise SystemExit(run(settings_or_exit(TrackingSettings)))


if __name__ == "__main__":
    main()
