"""What the redirect measures, on `/metrics` of its own process."""

from souk.chassis.metrics import counter, gauge

REDIRECTS = counter(
    "souk_tracking_redirects",
    "requests",
    "Tracking links asked for, by the status of the answer",
    ("status",),
)
SPOOLED_CLICKS = gauge(
    "souk_tracking_spooled_clicks", "clicks", "Clicks answered that the database has not confirmed"
)
SPOOL_AGE_SECONDS = gauge(
    "souk_tracking_spool_age_seconds", "seconds", "Since when the oldest file of the spool has been there"
)
