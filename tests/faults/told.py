"""What people were told: nothing twice, whatever went out, and what they had to be told at all."""

import json
import re
import sqlite3
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import http_ece
import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from effects import Broken, Databases
from history import History
from market import BROWSER

from souk.contracts.topic import Service

_TITLE = re.compile(r"Campaign \d+-\d+")
_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
"""RFC 8291, appendix A."""


async def mails(databases: Databases, mailbox: Path) -> list[Broken]:
    """Mails that the mail server, whose file this is, got more than once: the same one, or another of the
    same news. A start is told by its title, and of payments there are no more mails than payments."""
    with closing(sqlite3.connect(f"file:{mailbox}?mode=ro", uri=True)) as kept:
        rows = kept.execute("SELECT recipient, content FROM message").fetchall()
    got: Counter[str] = Counter()
    of_payments: Counter[str] = Counter()
    for recipient, content in rows:
        mail = message_from_bytes(content)
        got[mail["Message-ID"]] += 1
        if mail["X-Souk-Kind"] == "payment.paid":
            of_payments[recipient] += 1
        else:
            text = mail.get_payload(0).get_payload(decode=True).decode()
            got.update(f"{recipient} {mail['X-Souk-Kind']} {title}" for title in _TITLE.findall(text))
    paid = await databases["billing"].fetch(
        "SELECT influencer_id, count(*) FROM payment WHERE status = 'paid' GROUP BY 1"
    )
    of_payments.subtract({f"{person}@creators.example": times for person, times in paid})
    return [
        *_twice("mail", got),
        *(Broken("told_twice", "mail", f"{to} payment.paid") for to in +of_payments),
    ]


async def pushes(databases: Databases, standins: str) -> list[Broken]:
    """News that a browser got more than one push of, of the last that the push service keeps."""
    people = await databases["influencer"].fetch("SELECT id FROM influencer")
    got: Counter[str] = Counter()
    async with httpx.AsyncClient(base_url=standins, trust_env=False) as client:
        # What is left of a fault would meet the questions too.
        (await client.delete("/faults")).raise_for_status()
        for (person,) in people:
            answer = (await client.get(f"/push/{person}")).raise_for_status()
            for push in answer.json()["items"]:
                told = json.loads(_decrypted(bytes.fromhex(push["body"])))
                got[f"{person} {told['kind']} {told['title']}"] += 1
    return _twice("push", got)


async def notices(databases: Databases, history: History) -> list[Broken]:
    """Whatever has to be told is there as a notice, and of posts no more than was asked to be decided."""
    rows = await databases["notify"].fetch(_NOTICES)
    told = Counter((row["kind"], row["influencer_id"], row["subject"]) for row in rows)
    since = history.clock() - _KEPT
    due = [row for service, query in _DUE.items() for row in await databases[service].fetch(query)]
    lost = [
        Broken("lost", "notice", f"{row['kind']} {row['subject']} to {row['influencer_id']}")
        for row in due
        if row["at"] > since and not told[row["kind"], row["influencer_id"], row["subject"]]
    ]
    asked: Counter[tuple[str, str]] = Counter()
    for one in history.told:
        if one.kind.startswith("post_"):
            asked[one.kind, one.subject["post"]] += one.sent
    return lost + [
        Broken("told_twice", "notice", f"{kind} {post}: {times} times")
        for (kind, _, post), times in told.items()
        if (kind == "post.approved" and times > 1 + asked["post_effective", str(post)])
        or (
            kind == "post.ineffective"
            and times > asked["post_ineffective", str(post)] + asked["post_effective", str(post)]
        )
    ]


_KEPT = timedelta(days=150)
"""Notices are kept a month longer."""
_NOTICES = """
SELECT kind, influencer_id, subject FROM delivery, unnest(subject_ids) AS subject
WHERE channel = 'in_app'
"""
_DUE: Mapping[Service, str] = {
    "influencer": """
SELECT joined_at AS at, 'participation.approved' AS kind, influencer_id, id AS subject
FROM participation WHERE state = 'joined' AND applied_at IS NOT NULL
UNION ALL
SELECT changed_at, 'campaign.' || occasion, (recipient->>'influencer_id')::uuid, campaign::uuid
FROM announcement, jsonb_array_elements(recipients) AS recipient,
  jsonb_array_elements_text(recipient->'campaign_ids') AS campaign
""",
    "tracking": """
SELECT approved_at AS at, 'post.approved' AS kind, influencer_id, id AS subject
FROM post WHERE status = 'approved'
""",
    "billing": """
SELECT changed_at AS at, influencer_id, id AS subject,
  CASE status WHEN 'reviewing' THEN 'payment.made' ELSE 'payment.' || status END AS kind
FROM payment WHERE status <> 'reviewing' OR version = 1
""",
}
"""What the owners' newest states have to have caused, whatever readers missed of older ones."""


def _decrypted(body: bytes) -> bytes:
    number = int.from_bytes(_bytes(_PRIVATE))
    key = ec.derive_private_key(number, ec.SECP256R1())
    found: bytes = http_ece.decrypt(body, private_key=key, auth_secret=_bytes(BROWSER["auth"]))
    return found


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _twice(kind: str, got: Counter[str]) -> list[Broken]:
    return [Broken("told_twice", kind, name) for name, times in got.items() if times > 1]
