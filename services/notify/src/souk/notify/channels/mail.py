"""What a mail says: subject, text and HTML from the templates, in the recipient's locale."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from souk.contracts.reasons import Locale
from souk.notify.channels.mime import LINK, NAME, Template, plain, prepare
from souk.notify.channels.texts import GREETING, LISTING, UNSUBSCRIBE, compose, period
from souk.notify.store.copies import Facts

_MOST_KEPT = 200

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
)


@dataclass(slots=True)
class Composer:
    """Makes templates of mails. Those that list campaigns are kept: thousands get the same list."""

    sender: str
    kept: dict[tuple[Any, ...], Template] = field(default_factory=dict)

    def template(self, row: Any, facts: Facts, locale: Locale) -> Template:
        if row.kind != "campaign.started":
            text = compose(row, facts, locale)
            return self._rendered(row.kind, locale, text.title, plain(text.body), [])
        items = tuple(
            (plain(campaign.title), period(campaign, locale))
            for one in row.campaign_ids
            if (campaign := facts.campaigns.get(one)) is not None
        )
        key = (locale, items)
        if (known := self.kept.get(key)) is not None:
            return known
        if len(self.kept) >= _MOST_KEPT:
            self.kept.pop(next(iter(self.kept)))
        subject, lead = LISTING[locale]
        made = self.kept[key] = self._rendered(
            row.kind, locale, subject, lead, [{"title": title, "period": when} for title, when in items]
        )
        return made

    def _rendered(
        self, kind: str, locale: Locale, subject: str, lead: str, items: list[dict[str, str]]
    ) -> Template:
        words = {
            "locale": locale,
            "subject": subject,
            "greeting": GREETING[locale].format(name=NAME),
            "lead": lead,
            "items": items,
            "unsubscribe": UNSUBSCRIBE[locale],
            "unsubscribe_url": LINK,
        }
        text, html = (TEMPLATES.get_template(f"mail.{form}.j2").render(words) for form in ("txt", "html"))
        return prepare(self.sender, subject, text, html, kind)


def message_id(delivery: UUID, sender_domain: str) -> str:
    """The same whenever the same delivery is put into a message."""
    return f"{delivery}@{sender_domain}"
