"""What the stand-ins are told by their environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from souk.local.standins.catalogue import PACKAGED

Port = Annotated[int, Field(ge=1, le=65_535)]


class StandinSettings(BaseSettings):
    """A field `x` is SOUK_STANDINS_X; the clock is the suite's, SOUK_CLOCK.

    data: file that YouTube serves. folder: where mail is kept. quota: YouTube's units a day of Pacific time.
    """

    model_config = SettingsConfigDict(env_prefix="SOUK_STANDINS_", extra="ignore", frozen=True)

    http: Port
    smtp: Port
    folder: Path
    data: Path = PACKAGED
    clock: Annotated[str, Field(validation_alias="SOUK_CLOCK")] = "system"
    youtube_key: SecretStr
    quota: PositiveInt = 10_000
    smtp_user: str = "souk"
    smtp_password: SecretStr
