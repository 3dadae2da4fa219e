"""Notices that the domain made, as a source of deliveries."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Text, Uuid, bindparam, case, cast, column, func, literal_column, select

from souk.notify.domain.definitions import DEFINITIONS
from souk.notify.domain.notices import Notice
from souk.notify.store.deliveries import Source


def of_notices(notices: Sequence[Notice]) -> Source:
    """Each on every channel of its kind."""
    told = [(notice, channel) for notice in notices for channel in DEFINITIONS[notice.kind].channels]
    one = (
        func.unnest(
            bindparam("kinds", [notice.kind for notice, _ in told], type_=ARRAY(Text)),
            bindparam("channels", [channel for _, channel in told], type_=ARRAY(Text)),
            bindparam("influencers", [notice.influencer_id for notice, _ in told], type_=ARRAY(Uuid)),
            bindparam("subjects", [notice.subject for notice, _ in told], type_=ARRAY(Uuid)),
            bindparam("campaigns", [notice.campaign_id for notice, _ in told], type_=ARRAY(Uuid)),
            bindparam("occurrences", [notice.occurrence for notice, _ in told], type_=ARRAY(Text)),
        )
        .table_valued(
            column("kind", Text),
            column("channel", Text),
            column("influencer_id", Uuid),
            column("subject", Uuid),
            column("campaign_id", Uuid),
            column("occurrence", Text),
        )
        .render_derived("one")
    )
    subject_ids: Any = literal_column("ARRAY[one.subject]", ARRAY(Uuid))
    campaign_ids: Any = case(
        (one.c.campaign_id.is_(None), literal_column("'{}'::uuid[]", ARRAY(Uuid))),
        else_=literal_column("ARRAY[one.campaign_id]", ARRAY(Uuid)),
    )
    return select(
        one.c.kind,
        one.c.channel,
        one.c.influencer_id,
        cast(one.c.subject, Text).label("subject"),
        one.c.occurrence,
        subject_ids.label("subject_ids"),
        campaign_ids.label("campaign_ids"),
    )
