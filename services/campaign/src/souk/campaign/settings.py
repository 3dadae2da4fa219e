"""What the campaign service is told by its environment: nothing beyond what every service is."""

from typing import ClassVar

from souk.chassis.settings import ServiceSettings


class CampaignSettings(ServiceSettings):
    service: ClassVar[str] = "campaign"
