"""What billing is told by its environment: nothing beyond what every service is."""

from typing import ClassVar

from souk.chassis.settings import ServiceSettings


class BillingSettings(ServiceSettings):
    service: ClassVar[str] = "billing"
