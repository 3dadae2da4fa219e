"""One-click unsubscribe (RFC 8058): no account, no cookie, the signed link is enough."""

from typing import Annotated

from fastapi import Header, Path
from fastapi.responses import HTMLResponse

from souk.chassis.http import Routes, WorkDep
from souk.chassis.problems import Refused, locale_of
from souk.contracts.reasons import Reason
from souk.notify.channels.mail import TEMPLATES
from souk.notify.channels.texts import PAGE
from souk.notify.domain.tokens import TOKEN_LENGTH, verify
from souk.notify.handlers.contacts import unsubscribe

Token = Annotated[str, Path(min_length=TOKEN_LENGTH, max_length=TOKEN_LENGTH, pattern=r"^[\w-]+$")]
Languages = Annotated[str | None, Header(alias="accept-language", max_length=500)]
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}


def unsubscribe_routes(secret: bytes) -> Routes:
    """The routes, with the key that the tokens were signed with."""
    routes = Routes(prefix="/unsubscribe", tags=["unsubscribe"], public=True)

    @routes.get("/{token}", response_class=HTMLResponse)
    async def show_unsubscribe(token: Token, accept_language: Languages = None) -> HTMLResponse:
        """A page with one button: scanners follow links in mails, so following one changes nothing."""
        if verify(secret, token) is None:
            raise Refused(Reason.INVALID_SIGNATURE)
        return _page(accept_language, done=False)

    @routes.post("/{token}", response_class=HTMLResponse)
    async def post_unsubscribe(
        token: Token, work: WorkDep, accept_language: Languages = None
    ) -> HTMLResponse:
        """Turn notices about campaigns and payments off; again changes nothing."""
        if await unsubscribe(work, secret, token) is None:
            raise Refused(Reason.INVALID_SIGNATURE)
        return _page(accept_language, done=True)

    return routes


def _page(accept_language: str | None, *, done: bool) -> HTMLResponse:
    locale = locale_of(accept_language)
    heading, button, said = PAGE[locale]
    html = TEMPLATES.get_template("unsubscribe.html.j2").render(
        locale=locale, heading=heading, button=button, done=said if done else None
    )
    return HTMLResponse(html, headers={**_HEADERS, "Content-Language": locale})
