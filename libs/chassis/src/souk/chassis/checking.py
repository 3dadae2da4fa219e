"""`souk-<service> check`: what a service's own login and principal can see, and what of it doesn't fit."""

from collections.abc import Mapping, Sequence
from typing import Any

from souk.chassis.clock import clock_from
from souk.chassis.settings import ServiceSettings
from souk.checker.check import check
from souk.checker.finding import Finding
from souk.contracts.topic import SERVICES
from souk.contracts.topics import TOPICS


async def check_service(
    settings: ServiceSettings, patience: float
) -> tuple[Sequence[Finding], Mapping[str, Any]]:
    """What doesn't fit in the topics that the service owns or reads, and how much was looked at.

    patience: seconds that a difference may last, as for a copy that lags.
    """
    service = next(each for each in SERVICES if each == settings.service)
    report = await check(
        {service: settings.database.get_secret_value()},
        settings.kafka_access().client(),
        topics=[topic for topic in TOPICS if service in {topic.owner, *topic.readers}],
        now=clock_from(settings.clock).now(),
        patience=patience,
    )
    return report.findings, report.checked
