"""`souk-<service> check`: what a service's own login and principal can see, and what of it doesn't fit."""

from collections.abc import Mapping, Sequence
from typing import Any

from souk.chassis.clock import clock_from
from souk.chassis.settings import ServiceSettings
from souk.checker.check import check
from souk.checker.finding import Finding
from souk.contracts import acl
from souk.contracts.topic import SERVICES
from souk.contracts.topics import TOPICS


async def check_service(
    settings: ServiceSettings, patience: float
) -> tuple[Sequence[Finding], Mapping[str, Any]]:
    """What doesn't fit, and how much was looked at.

    Of topics that the service may not read, though they are its own, nothing can be said: `unread` names
    them. patience: seconds that a difference may last, as for a copy that lags.
    """
    service = next(each for each in SERVICES if each == settings.service)
    readable = [topic for topic in TOPICS if service in acl.readers(topic)]
    report = await check(
        {service: settings.database.get_secret_value()},
        settings.kafka_access().client(),
        topics=readable,
        now=clock_from(settings.clock).now(),
        patience=patience,
    )
    unread = [topic.name for topic in TOPICS if topic.owner == service and topic not in readable]
    return report.findings, {**report.checked, "unread": unread}
