"""What the influencer service is told by its environment."""

from typing import ClassVar

from souk.chassis.settings import ServiceSettings


class InfluencerSettings(ServiceSettings):
    service: ClassVar[str] = "influencer"
