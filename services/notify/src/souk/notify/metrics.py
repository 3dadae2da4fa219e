"""What this service measures besides what every service does."""

from souk.chassis.metrics import counter, histogram

HANDED_OVER = counter(
    "souk_notify_handed_over",
    "deliveries",
    "Deliveries handed to a mail server or push service, by what came of it",
    ("channel", "result"),
)
HAND_OVER_SECONDS = histogram(
    "souk_notify_hand_over_duration_seconds",
    "seconds",
    "From offering a delivery to the other side's answer",
    ("channel",),
)
