"""What people read, in each locale: one table of texts, with dates and money as the locale writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from babel.dates import format_date
from babel.numbers import format_currency

from souk.contracts.money import MICROS
from souk.contracts.reasons import Locale
from souk.notify.domain.definitions import Kind
from souk.notify.store.copies import CampaignFacts, Facts

LOCALES: tuple[Locale, ...] = ("en", "ja", "th")


@dataclass(frozen=True, slots=True)
class Text:
    """A notice as a title and one sentence."""

    title: str
    body: str


TEXTS: Mapping[Kind, Mapping[Locale, tuple[str, str]]] = {
    "campaign.upcoming": {
        "en": ("New campaign: {campaign}", "You are invited to {campaign}, {period}."),
        "ja": ("新しいキャンペーン: {campaign}", "「{campaign}」({period})にご参加いただけます。"),
        "th": ("แคมเปญใหม่: {campaign}", "คุณได้รับเชิญให้เข้าร่วม {campaign} ช่วง {period}"),
    },
    "campaign.started": {
        "en": ("{campaign} has started", "{campaign} runs {period}. You can take part now."),
        "ja": ("「{campaign}」が始まりました", "「{campaign}」の期間は{period}です。今すぐ参加できます。"),
        "th": ("{campaign} เริ่มแล้ว", "{campaign} จัดขึ้นช่วง {period} คุณเข้าร่วมได้แล้วตอนนี้"),
    },
    "campaign.over_budget": {
        "en": (
            "{campaign}: the budget is spent",
            "{campaign} has used its budget; nothing more is earned for now.",
        ),
        "ja": (
            "「{campaign}」の予算が終了しました",
            "「{campaign}」は予算を使い切りました。現在、新たな報酬は発生しません。",
        ),
        "th": ("{campaign}: งบประมาณหมดแล้ว", "{campaign} ใช้งบประมาณหมดแล้ว ขณะนี้จะไม่มีรายได้เพิ่ม"),
    },
    "campaign.finished": {
        "en": ("{campaign} is finished", "{campaign} has ended. Thank you for taking part."),
        "ja": (
            "「{campaign}」が終了しました",
            "「{campaign}」は終了しました。ご参加ありがとうございました。",
        ),
        "th": ("{campaign} สิ้นสุดแล้ว", "{campaign} สิ้นสุดแล้ว ขอบคุณที่เข้าร่วม"),
    },
    "participation.approved": {
        "en": ("You are in: {campaign}", "Your application to {campaign} was approved."),
        "ja": ("参加が承認されました: {campaign}", "「{campaign}」への応募が承認されました。"),
        "th": ("คุณได้เข้าร่วม: {campaign}", "ใบสมัครของคุณสำหรับ {campaign} ได้รับอนุมัติแล้ว"),
    },
    "participation.rejected": {
        "en": ("Not this time: {campaign}", "Your application to {campaign} was not accepted."),
        "ja": ("選考結果: {campaign}", "「{campaign}」への応募は承認されませんでした。"),
        "th": ("ผลการสมัคร: {campaign}", "ใบสมัครของคุณสำหรับ {campaign} ไม่ได้รับการอนุมัติ"),
    },
    "post.approved": {
        "en": ("Post approved", "“{post}” was approved for {campaign}."),
        "ja": ("投稿が承認されました", "「{post}」が「{campaign}」で承認されました。"),
        "th": ("โพสต์ได้รับอนุมัติ", "“{post}” ได้รับอนุมัติสำหรับ {campaign}"),
    },
    "post.ineffective": {
        "en": ("Post no longer counted", "“{post}” no longer counts for {campaign}."),
        "ja": ("投稿が対象外になりました", "「{post}」は「{campaign}」の対象外になりました。"),
        "th": ("โพสต์ไม่ถูกนับแล้ว", "“{post}” ไม่ถูกนับสำหรับ {campaign} อีกต่อไป"),
    },
    "payment.made": {
        "en": ("A payment is being prepared", "A payment of {amount} to you is being reviewed."),
        "ja": ("お支払いの準備中です", "{amount}のお支払いを確認しています。"),
        "th": ("กำลังเตรียมการจ่ายเงิน", "การจ่ายเงินให้คุณจำนวน {amount} กำลังถูกตรวจสอบ"),
    },
    "payment.paid": {
        "en": ("You have been paid", "A payment of {amount} was sent to you."),
        "ja": ("お支払いが完了しました", "{amount}をお支払いしました。"),
        "th": ("จ่ายเงินแล้ว", "โอนเงินจำนวน {amount} ให้คุณแล้ว"),
    },
    "payment.failed": {
        "en": (
            "A payment failed",
            "A payment of {amount} could not be sent. Please check your bank details.",
        ),
        "ja": (
            "お支払いができませんでした",
            "{amount}のお支払いができませんでした。口座情報をご確認ください。",
        ),
        "th": ("การจ่ายเงินไม่สำเร็จ", "ไม่สามารถโอนเงินจำนวน {amount} ได้ โปรดตรวจสอบข้อมูลบัญชีธนาคาร"),
    },
}
"""kind → locale → (title, body); every kind has every locale."""

LISTING: Mapping[Locale, tuple[str, str]] = {
    "en": ("Campaigns that start today", "These campaigns have started and you can take part:"),
    "ja": ("本日開始のキャンペーン", "次のキャンペーンが始まりました。ご参加いただけます。"),
    "th": ("แคมเปญที่เริ่มวันนี้", "แคมเปญต่อไปนี้เริ่มแล้ว และคุณเข้าร่วมได้:"),
}
"""Subject and first line of the mail that lists campaigns."""

GREETING: Mapping[Locale, str] = {"en": "Hello {name},", "ja": "{name} 様", "th": "สวัสดี {name}"}
UNSUBSCRIBE: Mapping[Locale, str] = {
    "en": "Turn these notices off:",
    "ja": "お知らせの配信を停止する:",
    "th": "ปิดการแจ้งเตือนเหล่านี้:",
}
PAGE: Mapping[Locale, tuple[str, str, str]] = {
    "en": ("Notices of souk", "Turn off", "Notices about campaigns and payments are turned off."),
    "ja": ("soukからのお知らせ", "配信を停止する", "キャンペーンと支払いのお知らせを停止しました。"),
    "th": ("การแจ้งเตือนจาก souk", "ปิดการแจ้งเตือน", "ปิดการแจ้งเตือนเกี่ยวกับแคมเปญและการจ่ายเงินแล้ว"),
}
"""Heading, button, and what is said afterwards."""


def compose(row: Any, facts: Facts, locale: Locale) -> Text:
    """The text of a delivery about one thing; what isn't known of it is left as a dash."""
    title, body = TEXTS[row.kind][locale]
    words = _words(row, facts, locale)
    return Text(title.format_map(words), body.format_map(words))


def period(campaign: CampaignFacts, locale: Locale) -> str:
    days = (campaign.start_date, campaign.end_date)
    return " – ".join(_day(day, locale) for day in days)


def _words(row: Any, facts: Facts, locale: Locale) -> dict[str, str]:
    subject: UUID = row.subject_ids[0]
    campaign = facts.campaigns.get(row.campaign_ids[0]) if row.campaign_ids else None
    return {
        "campaign": campaign.title if campaign else "–",
        "period": period(campaign, locale) if campaign else "–",
        "post": facts.posts.get(subject, "–"),
        "amount": _money(*facts.payments[subject], locale) if subject in facts.payments else "–",
    }


def _day(day: date | None, locale: Locale) -> str:
    return format_date(day, "long", locale=locale) if day else "…"


def _money(micros: int, currency: str, locale: Locale) -> str:
    return format_currency(Decimal(micros) / MICROS, currency, locale=locale)
