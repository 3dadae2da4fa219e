"""Why something was refused: a closed set, each with its problem (RFC 9457) and its messages.

A reason is what a program reads; the message is what a person reads, in their language. One table
holds both, so that a reason without a message cannot exist.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Locale = Literal["en", "ja", "th"]


class Reason(StrEnum):
    """Machine-readable reason of a refusal; part of problem types as `urn:souk:problem:<reason>`."""

    # how the request is made
    MALFORMED_JSON = "malformed_json"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    INVALID_SIGNATURE = "invalid_signature"
    INVALID_CURSOR = "invalid_cursor"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    IF_MATCH_REQUIRED = "if_match_required"
    VERSION_MISMATCH = "version_mismatch"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"
    # campaigns
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    UNKNOWN_ORGANISATION = "unknown_organisation"
    UNKNOWN_USER = "unknown_user"
    INCOMPLETE_CAMPAIGN = "incomplete_campaign"
    ALREADY_APPROVED = "already_approved"
    NOT_APPROVED = "not_approved"
    FIXED_SINCE_APPROVAL = "fixed_since_approval"
    ONLY_MAY_RISE = "only_may_rise"
    INVALID_PERIOD = "invalid_period"
    START_FIXED = "start_fixed"
    # participation
    UNKNOWN_INFLUENCER = "unknown_influencer"
    UNKNOWN_PARTICIPATION = "unknown_participation"
    NOT_ELIGIBLE = "not_eligible"
    DESELECTED = "deselected"
    CLOSED_CAMPAIGN = "closed_campaign"
    NOT_OPEN = "not_open"
    OVER_BUDGET = "over_budget"
    FINISHED = "finished"
    NO_CODES_LEFT = "no_codes_left"
    CODE_TAKEN = "code_taken"
    ACCOUNT_REQUIRED = "account_required"
    WRONG_STATE = "wrong_state"
    # posts, links, conversions
    UNKNOWN_ACCOUNT = "unknown_account"
    ACCOUNT_NOT_REACHED = "account_not_reached"
    ACCOUNT_TAKEN = "account_taken"
    PLATFORM_NOT_OFFERED = "platform_not_offered"
    UNKNOWN_POST = "unknown_post"
    POST_APPROVED = "post_approved"
    UNKNOWN_LINK = "unknown_link"
    UNKNOWN_CODE = "unknown_code"
    OUTSIDE_PERIOD = "outside_period"
    OUT_OF_WINDOW = "out_of_window"
    DUPLICATE = "duplicate"
    SELF_PURCHASE = "self_purchase"
    CURRENCY = "currency"
    BOT = "bot"
    UNKNOWN_SHOP = "unknown_shop"
    UNKNOWN_CONVERSION = "unknown_conversion"
    # money
    RATE_TOO_FINE = "rate_too_fine"
    UNKNOWN_PAYMENT = "unknown_payment"
    UNKNOWN_PAYMENT_RUN = "unknown_payment_run"
    PAYMENT_SETTLED = "payment_settled"
    TOO_EARLY = "too_early"
    # notices
    UNKNOWN_NOTIFICATION = "unknown_notification"


@dataclass(frozen=True, slots=True)
class Problem:
    """How a reason is answered over HTTP, and what a person is told."""

    status: int
    title: str
    ja: str
    th: str

    def message(self, locale: Locale) -> str:
        return {"en": self.title, "ja": self.ja, "th": self.th}[locale]


PROBLEMS: dict[Reason, Problem] = {
    Reason.MALFORMED_JSON: Problem(400, "The body is not JSON", "本文がJSONではありません", "เนื้อหาไม่ใช่ JSON"),
    Reason.INVALID: Problem(422, "The request is not valid", "リクエストが正しくありません", "คำขอไม่ถูกต้อง"),
    Reason.NOT_FOUND: Problem(404, "Nothing is here", "見つかりません", "ไม่พบข้อมูล"),
    Reason.METHOD_NOT_ALLOWED: Problem(
        405, "This method is not offered here", "このメソッドは使えません", "ไม่รองรับเมธอดนี้"
    ),
    Reason.UNSUPPORTED_MEDIA_TYPE: Problem(
        415, "Send application/json", "application/jsonで送ってください", "โปรดส่งเป็น application/json"
    ),
    Reason.TOO_LARGE: Problem(413, "The request is too large", "リクエストが大きすぎます", "คำขอใหญ่เกินไป"),
    Reason.RATE_LIMITED: Problem(429, "Too many requests", "リクエストが多すぎます", "มีคำขอมากเกินไป"),
    Reason.UNAUTHENTICATED: Problem(
        401, "A valid access token is needed", "有効なアクセストークンが必要です", "ต้องใช้โทเค็นที่ถูกต้อง"
    ),
    Reason.FORBIDDEN: Problem(403, "Your permissions do not cover this", "権限がありません", "คุณไม่มีสิทธิ์"),
    Reason.INVALID_SIGNATURE: Problem(
        401, "The signature does not match the body", "署名が一致しません", "ลายเซ็นไม่ตรงกัน"
    ),
    Reason.INVALID_CURSOR: Problem(
        400, "This cursor does not belong to this list", "カーソルが正しくありません", "เคอร์เซอร์ไม่ถูกต้อง"
    ),
    Reason.IDEMPOTENCY_KEY_REQUIRED: Problem(
        400, "Send an Idempotency-Key header", "Idempotency-Keyが必要です", "ต้องมี Idempotency-Key"
    ),
    Reason.IDEMPOTENCY_KEY_REUSED: Problem(
        422,
        "This Idempotency-Key was used for another request",
        "このIdempotency-Keyは別のリクエストで使われました",
        "Idempotency-Key นี้ถูกใช้แล้ว",
    ),
    Reason.IF_MATCH_REQUIRED: Problem(
        428, "Send If-Match with the ETag you read", "If-Matchが必要です", "ต้องมี If-Match"
    ),
    Reason.VERSION_MISMATCH: Problem(
        412, "It was changed since you read it", "読み込み後に変更されました", "ข้อมูลถูกเปลี่ยนแปลงแล้ว"
    ),
    Reason.CONFLICT: Problem(409, "It conflicts with what is there", "競合しています", "ข้อมูลขัดแย้งกัน"),
    Reason.UNAVAILABLE: Problem(
        503,
        "Not available for the moment; try again",
        "現在利用できません。後で再試行してください",
        "ขณะนี้ไม่พร้อมใช้งาน โปรดลองใหม่",
    ),
    Reason.INTERNAL: Problem(
        500, "Something went wrong on our side", "内部エラーが発生しました", "เกิดข้อผิดพลาดภายใน"
    ),
    Reason.UNKNOWN_CAMPAIGN: Problem(
        404, "There is no such campaign", "キャンペーンが見つかりません", "ไม่พบแคมเปญ"
    ),
    Reason.UNKNOWN_ORGANISATION: Problem(
        404, "There is no such organisation", "組織が見つかりません", "ไม่พบองค์กร"
    ),
    Reason.UNKNOWN_USER: Problem(404, "There is no such user", "ユーザーが見つかりません", "ไม่พบผู้ใช้"),
    Reason.INCOMPLETE_CAMPAIGN: Problem(
        422, "Mandatory fields are missing", "必須項目が不足しています", "ข้อมูลที่จำเป็นไม่ครบ"
    ),
    Reason.ALREADY_APPROVED: Problem(
        409, "The campaign is approved already", "キャンペーンは承認済みです", "แคมเปญได้รับอนุมัติแล้ว"
    ),
    Reason.NOT_APPROVED: Problem(
        409, "The campaign is not approved yet", "キャンペーンは未承認です", "แคมเปญยังไม่ได้รับอนุมัติ"
    ),
    Reason.FIXED_SINCE_APPROVAL: Problem(
        409,
        "This is fixed since the approval; clone the campaign for other terms",
        "承認後は変更できません。条件を変えるには複製してください",
        "แก้ไขไม่ได้หลังอนุมัติ โปรดคัดลอกแคมเปญ",
    ),
    Reason.ONLY_MAY_RISE: Problem(
        409,
        "Budget and cap may only rise",
        "予算と上限は増やすことしかできません",
        "งบประมาณและเพดานเพิ่มได้เท่านั้น",
    ),
    Reason.INVALID_PERIOD: Problem(
        422, "The dates do not make a period", "期間が正しくありません", "ช่วงวันที่ไม่ถูกต้อง"
    ),
    Reason.START_FIXED: Problem(
        409,
        "The start is fixed once the campaign is ongoing",
        "開始後は開始日を変更できません",
        "เปลี่ยนวันเริ่มไม่ได้หลังเริ่มแคมเปญ",
    ),
    Reason.UNKNOWN_INFLUENCER: Problem(
        404, "There is no such influencer", "インフルエンサーが見つかりません", "ไม่พบอินฟลูเอนเซอร์"
    ),
    Reason.UNKNOWN_PARTICIPATION: Problem(
        404, "There is no such participation", "参加が見つかりません", "ไม่พบการเข้าร่วม"
    ),
    Reason.NOT_ELIGIBLE: Problem(
        409,
        "The influencer does not match the audience",
        "対象条件を満たしていません",
        "ไม่ตรงตามเงื่อนไขผู้เข้าร่วม",
    ),
    Reason.DESELECTED: Problem(
        404, "There is no such campaign", "キャンペーンが見つかりません", "ไม่พบแคมเปญ"
    ),
    Reason.CLOSED_CAMPAIGN: Problem(
        404, "There is no such campaign", "キャンペーンが見つかりません", "ไม่พบแคมเปญ"
    ),
    Reason.NOT_OPEN: Problem(
        409, "The campaign does not take applications yet", "まだ応募を受け付けていません", "ยังไม่เปิดรับสมัคร"
    ),
    Reason.OVER_BUDGET: Problem(
        409, "The campaign's budget is spent", "予算を使い切りました", "งบประมาณหมดแล้ว"
    ),
    Reason.FINISHED: Problem(409, "The campaign is finished", "キャンペーンは終了しました", "แคมเปญสิ้นสุดแล้ว"),
    Reason.NO_CODES_LEFT: Problem(
        409, "No referral codes are left", "紹介コードが残っていません", "ไม่มีโค้ดแนะนำเหลือแล้ว"
    ),
    Reason.CODE_TAKEN: Problem(409, "This code is in use", "このコードは使用されています", "โค้ดนี้ถูกใช้แล้ว"),
    Reason.ACCOUNT_REQUIRED: Problem(
        409,
        "A matching connected account is needed",
        "対象アカウントの連携が必要です",
        "ต้องเชื่อมต่อบัญชีที่ตรงเงื่อนไข",
    ),
    Reason.WRONG_STATE: Problem(
        409, "Its state does not allow this", "現在の状態では実行できません", "สถานะปัจจุบันไม่อนุญาต"
    ),
    Reason.UNKNOWN_ACCOUNT: Problem(404, "There is no such account", "アカウントが見つかりません", "ไม่พบบัญชี"),
    Reason.ACCOUNT_NOT_REACHED: Problem(
        502,
        "The platform did not show this account",
        "プラットフォームからアカウントを取得できません",
        "แพลตฟอร์มไม่แสดงบัญชีนี้",
    ),
    Reason.ACCOUNT_TAKEN: Problem(
        409,
        "The account is connected to another influencer",
        "このアカウントは別の人に連携されています",
        "บัญชีนี้เชื่อมกับผู้อื่นแล้ว",
    ),
    Reason.PLATFORM_NOT_OFFERED: Problem(
        422,
        "Accounts of this platform can't be connected yet",
        "このプラットフォームのアカウントはまだ連携できません",
        "ยังเชื่อมต่อบัญชีของแพลตฟอร์มนี้ไม่ได้",
    ),
    Reason.UNKNOWN_POST: Problem(404, "There is no such post", "投稿が見つかりません", "ไม่พบโพสต์"),
    Reason.POST_APPROVED: Problem(409, "The post is approved", "投稿は承認済みです", "โพสต์ได้รับอนุมัติแล้ว"),
    Reason.UNKNOWN_LINK: Problem(404, "There is no such link", "リンクが見つかりません", "ไม่พบลิงก์"),
    Reason.UNKNOWN_CODE: Problem(404, "The code is not known", "コードが見つかりません", "ไม่พบโค้ด"),
    Reason.OUTSIDE_PERIOD: Problem(
        409, "Outside the campaign's period", "キャンペーン期間外です", "อยู่นอกช่วงแคมเปญ"
    ),
    Reason.OUT_OF_WINDOW: Problem(409, "Outside the attribution window", "計測期間外です", "อยู่นอกช่วงการนับผล"),
    Reason.DUPLICATE: Problem(409, "Counted already", "重複しています", "ซ้ำกับรายการเดิม"),
    Reason.SELF_PURCHASE: Problem(
        409, "An own purchase does not count", "本人の購入は対象外です", "การซื้อของตนเองไม่นับ"
    ),
    Reason.CURRENCY: Problem(
        422, "The currency is not the campaign's", "通貨がキャンペーンと異なります", "สกุลเงินไม่ตรงกับแคมเปญ"
    ),
    Reason.BOT: Problem(409, "A bot's click does not count", "ボットのクリックは対象外です", "คลิกของบอตไม่นับ"),
    Reason.UNKNOWN_SHOP: Problem(404, "There is no such shop", "ショップが見つかりません", "ไม่พบร้านค้า"),
    Reason.UNKNOWN_CONVERSION: Problem(
        404, "There is no such conversion", "コンバージョンが見つかりません", "ไม่พบรายการ"
    ),
    Reason.RATE_TOO_FINE: Problem(
        422, "A rate is exact to a micro", "単価は百万分の一単位までです", "อัตราละเอียดเกินไป"
    ),
    Reason.UNKNOWN_PAYMENT: Problem(
        404, "There is no such payment", "支払いが見つかりません", "ไม่พบการจ่ายเงิน"
    ),
    Reason.UNKNOWN_PAYMENT_RUN: Problem(
        404, "There is no such payment run", "支払い処理が見つかりません", "ไม่พบรอบการจ่ายเงิน"
    ),
    Reason.PAYMENT_SETTLED: Problem(
        409, "The payment is settled", "支払いは完了しています", "การจ่ายเงินเสร็จสิ้นแล้ว"
    ),
    Reason.TOO_EARLY: Problem(409, "It is too early for this", "まだ実行できません", "ยังไม่ถึงเวลา"),
    Reason.UNKNOWN_NOTIFICATION: Problem(
        404, "There is no such notification", "お知らせが見つかりません", "ไม่พบการแจ้งเตือน"
    ),
}
"""Every reason has exactly one row; a test holds it."""
