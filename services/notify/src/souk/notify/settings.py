"""Settings of the notify service, besides those of every service."""

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from souk.chassis.settings import ServiceSettings


class NotifySettings(ServiceSettings):
    """smtp: `smtp://user:password@host:port`, `smtps://` for TLS from the start, `smtp+starttls://` to
    insist on STARTTLS; empty sends no mail. push_vapid_key: a P-256 private key as PEM, as base64url of
    its 32 bytes, or a file that holds one; empty sends no pushes. push_allowed: origins that pushes may
    go to besides public https ones, comma-separated. unsubscribe_secret: signs one-click links; when it
    changes, the links in mails already sent stop working.
    """

    service: ClassVar[str] = "notify"

    smtp: SecretStr = SecretStr("")
    smtp_connections: Annotated[int, Field(ge=1, le=64)] = 4
    mail_from: str = "souk <notices@souk.example>"
    push_vapid_key: SecretStr = SecretStr("")
    push_subject: str = "mailto:notices@souk.example"
    push_allowed: str = ""
    unsubscribe_secret: Annotated[SecretStr, Field(min_length=16)]
