"""What billing reads, translated into its own words; nothing is decided here."""

from collections.abc import Sequence

from souk.billing.domain.books import Counted, Fact, Kind, payable_since
from souk.billing.handlers import accruals, terms
from souk.billing.store import copies, tables
from souk.chassis.intake import Intake
from souk.chassis.work import Work
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign
from souk.contracts.topics.conversions import CONVERSIONS, Conversion
from souk.contracts.topics.influencers import INFLUENCERS, Influencer
from souk.contracts.topics.links import LINKS, Link
from souk.contracts.topics.participations import PARTICIPATIONS, Participation
from souk.contracts.topics.payees import PAYEES, Payee
from souk.contracts.topics.posts import POSTS, Post
from souk.contracts.topics.terms import TERMS, Terms
from souk.contracts.topics.users import USERS, User

intake = Intake("billing")


@intake.reads(USERS, copy=tables.member)
async def users_changed(work: Work, states: Sequence[User]) -> None:
    await copies.keep_users(work, states)


@intake.reads(INFLUENCERS, copy=tables.influencer)
async def influencers_changed(work: Work, states: Sequence[Influencer]) -> None:
    await copies.keep_influencers(work, states)


@intake.reads(PAYEES, copy=tables.payee)
async def payees_changed(work: Work, states: Sequence[Payee]) -> None:
    await copies.keep_payees(work, states)


@intake.reads(CAMPAIGNS)
async def campaigns_changed(work: Work, states: Sequence[Campaign]) -> None:
    await terms.take_campaigns(work, states)


@intake.reads(TERMS)
async def terms_changed(work: Work, states: Sequence[Terms]) -> None:
    await terms.take_terms(work, states)


@intake.reads(PARTICIPATIONS)
async def participations_changed(work: Work, states: Sequence[Participation]) -> None:
    await terms.take_participations(work, states)


@intake.reads(POSTS)
async def posts_changed(work: Work, states: Sequence[Post]) -> None:
    await accruals.take_facts(work, [_post(state) for state in states])


@intake.reads(LINKS)
async def links_changed(work: Work, states: Sequence[Link]) -> None:
    await accruals.take_facts(work, [_link(state) for state in states])


@intake.reads(CONVERSIONS)
async def conversions_changed(work: Work, states: Sequence[Conversion]) -> None:
    await accruals.take_facts(work, [_conversion(state) for state in states])


def _post(post: Post) -> Fact:
    live = post.status in ("effective", "warning", "approved")
    counted = post.counted
    return Fact(
        id=post.id,
        kind=Kind.POST,
        campaign_id=post.campaign_id,
        participation_id=post.participation_id,
        version=post.version,
        changed_at=post.changed_at,
        topic=POSTS.name,
        active=live and post.counts,
        since=post.published_at,
        name=post.external_id,
        live=live,
        asks=post.status == "pending",
        would_count=post.counts,
        approved_at=payable_since(post),
        counted=Counted(counted.views, counted.likes, counted.comments, counted.shares),
    )


def _link(link: Link) -> Fact:
    return Fact(
        id=link.id,
        kind=Kind.LINK,
        campaign_id=link.campaign_id,
        participation_id=link.participation_id,
        version=link.version,
        changed_at=link.changed_at,
        topic=LINKS.name,
        active=True,
        since=None,
        name=link.slug,
        units=link.billable,
        reversed=link.reversed,
    )


def _conversion(conversion: Conversion) -> Fact:
    return Fact(
        id=conversion.id,
        kind=Kind.CONVERSION,
        campaign_id=conversion.campaign_id,
        participation_id=conversion.participation_id,
        version=conversion.version,
        changed_at=conversion.changed_at,
        topic=CONVERSIONS.name,
        active=conversion.verdict == "qualified" and conversion.participation_id is not None,
        since=conversion.ordered_at,
        name=conversion.order_id,
        disputed=conversion.disputed,
        lines=conversion.lines,
        currency=conversion.currency,
    )
