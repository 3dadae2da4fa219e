"""Which fields of each topic are compared with which table: no column leaves the comparison by itself."""

from souk.checker.copies import compared_columns
from souk.checker.database import reading
from souk.checker.places import COPIES, OWNERS
from souk.contracts.topics import TOPICS

COMPARED = """
campaign.organisations.v1 campaign.organisation: active agency_id changed_at country kind name
campaign.organisations.v1 influencer.organisation: kind
campaign.users.v1 campaign.user: changed_at levels organisation_id
campaign.users.v1 influencer.user_levels: active levels organisation_id
campaign.users.v1 tracking.member: organisation_id
campaign.users.v1 billing.member: active levels organisation_id
campaign.users.v1 notify.user_level: organisation_id
campaign.campaigns.v1 campaign.campaign: advertiser_id agency_id approval_mode approved_at audience budget
    budget_version cap category changed_at country created_at currency draft_required end_date ends_at
    hashtags hold_days landing_url material_url multi_posting opens_at post_requirements pre_launch_date
    product_information product_url rates sample_urls start_date starts_at terms_version thumbnail_url title
    type visibility window_days
campaign.campaigns.v1 influencer.campaign: advertiser_id agency_id approval_mode approved_at budget_version
    created_at ends_at lifecycle opens_at start_date starts_at title track_posts type visibility
campaign.campaigns.v1 tracking.campaign: advertiser_id agency_id currency ends_at hashtags multi_posting
    starts_at type window_days
campaign.campaigns.v1 billing.account: advertiser_id agency_id budget_version cap currency ends_at hold_days
    rates
campaign.campaigns.v1 notify.campaign: budget_version end_date ends_at start_date title
campaign.terms.private.v1 campaign.campaign: agency_id agency_margin margin
campaign.terms.private.v1 billing.account: agency_margin
influencer.influencers.v1 influencer.influencer: categories changed_at country display_name erased region
    signed_up_at tags talent_agency_id
influencer.influencers.v1 tracking.influencer: erased talent_agency_id
influencer.influencers.v1 billing.influencer: country talent_agency_id
influencer.influencers.v1 notify.influencer: display_name
influencer.contacts.private.v1 influencer.contact: changed_at email erased locale notifications push
influencer.contacts.private.v1 notify.contact: email erased locale notifications push
influencer.payees.private.v1 influencer.payee: bank_account changed_at consumption_tax_registered country
    erased legal_name payment_mode tax_id
influencer.payees.private.v1 billing.payee: consumption_tax_registered country erased payment_mode
influencer.participations.v1 influencer.participation: account_id applied_at campaign_id changed_at
    commission followers_base influencer_id joined_at platform referral_code state withdrawn_at
influencer.participations.v1 tracking.participation: account_id campaign_id influencer_id state withdrawn_at
influencer.participations.v1 billing.participation: campaign_id commission followers_base influencer_id
influencer.participations.v1 notify.participation: campaign_id influencer_id joined_at withdrawn_at
influencer.announcements.v1 influencer.announcement: changed_at day occasion part parts recipients
influencer.announcements.v1 notify.announcement: day occasion
tracking.accounts.v1 tracking.account: changed_at connected_at connection external_id followers handle
    influencer_id platform usual_likes
tracking.accounts.v1 influencer.account: connection followers influencer_id platform usual_likes
tracking.posts.v1 tracking.post: account_id approved_at campaign_id changed_at counts counts_since
    external_id found_at influencer_id observed_at participation_id platform published_at reason status
    title url warnings
tracking.posts.v1 billing.item: campaign_id changed_at participation_id
tracking.posts.v1 notify.post: status title
tracking.links.v1 tracking.link: active billable bot campaign_id changed_at duplicate influencer_id
    landing_url last_click_at outside_period participation_id reversed slug url
tracking.links.v1 billing.item: campaign_id changed_at participation_id reversed
tracking.conversions.v1 tracking.conversion: attribution campaign_id changed_at currency disputed
    influencer_id order_id ordered_at participation_id reason source verdict
tracking.conversions.v1 billing.item: campaign_id changed_at currency disputed lines
tracking.clicks.v1 tracking.click: campaign_id link_id participation_id referrer visitor
billing.budgets.v1 billing.account: budget budget_version changed_at consumed currency exhausted_at
billing.budgets.v1 campaign.budget: budget_version
billing.budgets.v1 influencer.budget: budget_version status
billing.earnings.v1 billing.participation: approved campaign_id capped changed_at influencer_id refused
    revenue worth
billing.payments.v1 billing.payment: changed_at consumption_tax currency failure fee gross influencer_id net
    paid_at run status withholding
billing.payments.v1 notify.payment: currency net status
notify.deliveries.v1 notify.delivery: changed_at channel detail influencer_id kind status subject_ids
"""


async def test_what_is_compared_changes_on_purpose_alone(urls):
    found = {}
    for topic in TOPICS:
        owner = OWNERS.get(topic.state)
        for place in (*([owner] if owner else []), *COPIES.get(topic.state, ())):
            async with reading(urls[place.service]) as connection:
                columns = await compared_columns(connection, topic.state, place)
            found[f"{topic.name} {place.service}.{place.table}"] = set(columns)

    said = (line.partition(": ") for line in COMPARED.strip().replace("\n    ", " ").splitlines())
    assert found == {copy: set(columns.split()) for copy, _, columns in said}
