"""What the checker has to say."""

from dataclasses import dataclass

MOST = 1_000
"""Findings of one question that are told; who has more of them knows enough."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that doesn't fit.

    check: which rule is broken, one word that programs may rely on. subject: ids, joined by blanks.
    detail: for people; holds versions and amounts, never personal data.
    """

    check: str
    subject: str
    detail: str
