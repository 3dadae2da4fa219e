"""Who may do what: the default matrix of role × area, and the order of levels (domain.md §1)."""

from enum import IntEnum
from typing import Literal

Role = Literal["staff", "advertiser", "agency", "talent-agency", "influencer"]
Area = Literal[
    "organisation",
    "user",
    "campaign",
    "influencer",
    "participation",
    "post",
    "conversion",
    "payment",
    "report",
    "notification",
]


class Level(IntEnum):
    """View includes download; manage includes create, edit, approve and deny."""

    NONE = 0
    VIEW = 1
    MANAGE = 2
    MANAGE_AND_DELETE = 3


_N, _V, _M, _D = Level

DEFAULTS: dict[Role, dict[Area, Level]] = {
    "staff": {
        "organisation": _D, "user": _D, "campaign": _D, "influencer": _D, "participation": _D,
        "post": _D, "conversion": _D, "payment": _D, "report": _D, "notification": _D,
    },
    "agency": {
        "organisation": _V, "user": _M, "campaign": _M, "influencer": _V, "participation": _M,
        "post": _M, "conversion": _V, "payment": _N, "report": _V, "notification": _N,
    },
    "advertiser": {
        "organisation": _V, "user": _M, "campaign": _M, "influencer": _V, "participation": _M,
        "post": _M, "conversion": _V, "payment": _N, "report": _V, "notification": _N,
    },
    "talent-agency": {
        "organisation": _V, "user": _M, "campaign": _V, "influencer": _M, "participation": _M,
        "post": _V, "conversion": _V, "payment": _V, "report": _V, "notification": _N,
    },
    "influencer": {
        "organisation": _N, "user": _N, "campaign": _V, "influencer": _M, "participation": _M,
        "post": _V, "conversion": _V, "payment": _V, "report": _V, "notification": _M,
    },
}  # fmt: skip
"""An influencer's and a talent agency's levels reach only their own rows; tenant filters are in SQL."""
