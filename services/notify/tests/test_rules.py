"""The pure rules: what is told, tokens, retries, endpoints, texts and mail."""

from base64 import urlsafe_b64encode
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.notify.channels.mime import LINK, NAME, Envelope, is_address, prepare
from souk.notify.channels.smtp import read_server
from souk.notify.channels.texts import LOCALES, TEXTS, compose
from souk.notify.channels.webpush import read_key
from souk.notify.domain.changes import Known, changes
from souk.notify.domain.definitions import DEFINITIONS, KINDS
from souk.notify.domain.endpoints import is_public, read_endpoint
from souk.notify.domain.notices import of_post
from souk.notify.domain.retries import MOST_ATTEMPTS, wait_before
from souk.notify.domain.tokens import TOKEN_LENGTH, sign, verify
from souk.notify.store.copies import Facts

from .conftest import MARIE, SPRING, START, post

SECRET = b"a secret of the tests"


def test_every_kind_is_defined_and_written_in_every_locale() -> None:
    assert set(DEFINITIONS) == set(TEXTS) == set(KINDS)
    assert all(set(texts) == set(LOCALES) for texts in TEXTS.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", LOCALES)
def test_a_text_stands_even_when_nothing_is_known_of_its_subject(kind: Any, locale: Any) -> None:
    row = SimpleNamespace(kind=kind, subject_ids=[SPRING], campaign_ids=[SPRING])

    text = compose(row, Facts({}, {}, {}, {}), locale)

    assert text.title
    assert "{" not in text.title + text.body


def test_money_is_written_as_the_locale_writes_it() -> None:
    row = SimpleNamespace(kind="payment.paid", subject_ids=[SPRING], campaign_ids=[])
    facts = Facts({}, {}, {SPRING: (1_234_000_000, "JPY")}, {})

    assert "￥1,234" in compose(row, facts, "ja").body
    assert "¥1,234" in compose(row, facts, "en").body


@given(st.uuids(), st.binary(min_size=16, max_size=40))
def test_a_token_names_whom_it_was_made_for(influencer: UUID, secret: bytes) -> None:
    token = sign(secret, influencer)

    assert len(token) == TOKEN_LENGTH
    assert verify(secret, token) == influencer
    assert verify(secret + b"x", token) is None


@given(st.uuids(), st.integers(0, TOKEN_LENGTH - 1), st.characters(codec="ascii"))
def test_a_token_changed_in_one_character_is_none_of_ours(influencer: UUID, at: int, other: str) -> None:
    token = sign(SECRET, influencer)
    changed = token[:at] + other + token[at + 1 :]

    assert verify(SECRET, changed) == (influencer if changed == token else None)


@given(st.text(max_size=60))
def test_no_text_is_a_token(text: str) -> None:
    assert verify(SECRET, text) is None


@given(st.permutations(range(1, 9)), st.lists(st.integers(0, 8), max_size=4))
def test_changes_do_not_depend_on_how_states_are_cut_into_batches(order: list[int], cuts: list[int]) -> None:
    states = [
        post(version=version, status="ineffective" if version % 3 else "effective") for version in order
    ]
    whole = list(changes(states, {}, lambda one: one.status))

    pieces: list[Any] = []
    known: dict[UUID, Known[Any]] = {}
    bounds = [0, *sorted(cuts), len(states)]
    for start, end in pairwise(bounds):
        for before, state in changes(states[start:end], known, lambda one: one.status):
            pieces.append((before, state))
        for _, state in pieces[-1:]:
            known[state.id] = Known(state.version, state.status)

    assert pieces == whole


def test_a_refused_reinstatement_is_no_news() -> None:
    assert of_post("pending", post(status="ineffective")) is None
    assert of_post("warning", post(status="ineffective")) is not None


@given(st.integers(1, MOST_ATTEMPTS - 1), st.integers(0, 10**6))
def test_waits_grow_are_bounded_and_honour_what_is_asked(attempts: int, asked: int) -> None:
    wait, longer = wait_before(attempts, timedelta(seconds=asked)), wait_before(attempts + 1)

    assert wait is not None
    assert timedelta() < wait <= timedelta(hours=4)
    assert wait >= min(timedelta(seconds=asked), timedelta(hours=4))
    assert longer is None or longer >= cast("timedelta", wait_before(attempts))


def test_it_is_given_up_after_the_last_attempt() -> None:
    assert wait_before(MOST_ATTEMPTS) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://push.example.org/1",
        "https://push.example.org:8443/1",
        "https://user@push.example.org/1",
        "https://push.example.org/\r\nHost: x",
        "https://push.example.org\\@evil.example/",
        "ftp://push.example.org/1",
        "https:///1",
        "https://[::1/1",
        "https://push.example.org:99999/",
        "/1",
        "",
        "https://push.example.org/" + "a" * 3000,
    ],
)
def test_pushes_go_nowhere_else_than_to_public_https(url: str) -> None:
    assert read_endpoint(url, set()) is None


def test_an_origin_of_the_settings_is_trusted_on_its_port_only() -> None:
    trusted = {"http://127.0.0.1:9000"}

    assert read_endpoint("http://127.0.0.1:9000/push/1", trusted) is not None
    assert read_endpoint("http://127.0.0.1:9001/push/1", trusted) is None
    assert read_endpoint("http://127.0.0.1:9000@evil.example/", trusted) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "nonsense"],
)  # fmt: skip
def test_addresses_of_private_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_public_addresses_are_public() -> None:
    assert is_public("8.8.8.8")
    assert is_public("2606:4700:4700::1111")


@pytest.mark.parametrize(
    "address", ["", "a", "@x", "a@", "a b@x", "a@x\r\nBcc: y", "ä@x.org", "a@b@c", "<a@x>", "a@" + "x" * 300]
)
def test_what_is_no_plain_address_gets_no_mail(address: str) -> None:
    assert not is_address(address)


@given(
    name=st.text(max_size=80),
    subject=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=120),
    before=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
    after=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
)
def test_a_filled_mail_reads_as_it_was_written(name: str, subject: str, before: str, after: str) -> None:
    def plain(text: str) -> str:
        return "".join(c for c in text if c not in (NAME, LINK))

    before, after, link = plain(before), plain(after), "https://souk.example/unsubscribe/" + "t" * 43
    body = f"{before}{NAME}{after}\n.\n{LINK}\n"
    template = prepare("souk <notices@souk.example>", subject, body, f"<p>{NAME}</p>{LINK}", "test")

    raw = template.fill(Envelope("a@example.org", name, link, "1@souk.example", START))

    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")
    mail = cast("EmailMessage", message_from_bytes(raw, policy=default))
    assert mail["To"] == "a@example.org"
    assert mail["Bcc"] is None
    text, html = (part.get_payload(decode=True) for part in mail.iter_parts())
    shown = "".join(c for c in name if c >= " " and c not in (NAME, LINK, "\x7f"))
    expected = f"{before}{shown}{after}\n.\n{link}\n"
    assert cast("bytes", text).decode().replace("\r\n", "\n").rstrip("\n") == expected.rstrip("\n")
    assert link.encode() in cast("bytes", html)


def test_a_mail_server_is_read_from_its_address() -> None:
    server = read_server("smtp+starttls://user:p%40ss@mail.example:2525")

    assert (server.host, server.port, server.user, server.password, server.tls) == (
        "mail.example",
        2525,
        "user",
        "p@ss",
        "must",
    )
    with pytest.raises(ValueError, match="SOUK_SMTP") as refused:
        read_server("http://user:secret@mail.example")
    assert "secret" not in str(refused.value)


def test_a_vapid_key_is_read_in_three_forms(tmp_path: Any) -> None:
    raw = urlsafe_b64encode((7).to_bytes(32, "big")).decode().rstrip("=")
    pem = read_key(raw).private_pem().decode()
    file = tmp_path / "vapid.pem"
    file.write_text(pem)

    assert read_key(pem).private_pem() == read_key(str(file)).private_pem() == read_key(raw).private_pem()
    with pytest.raises(ValueError, match="SOUK_PUSH_VAPID_KEY"):
        read_key("nonsense")


def test_the_subject_of_a_token_is_an_influencer() -> None:
    assert verify(SECRET, sign(SECRET, MARIE)) == MARIE
