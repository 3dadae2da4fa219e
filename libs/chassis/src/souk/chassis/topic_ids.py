"""The ids that Kafka gives topics: a topic that was deleted and made anew has another.

aiokafka doesn't show them, so this asks through librdkafka's admin client, in a thread.
"""

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

from souk.chassis.settings import KafkaAccess

_SECONDS = 5.0


class TopicIds:
    """Looks up topic ids; connects at the first question."""

    def __init__(self, kafka: KafkaAccess) -> None:
        self._kafka = kafka
        self._admin: Any = None

    async def of(self, topics: Collection[str]) -> dict[str, UUID]:
        """The id of each topic that exists. Raises KafkaException or TimeoutError when Kafka is away."""
        return await asyncio.to_thread(self._of, sorted(topics))

    def _of(self, topics: list[str]) -> dict[str, UUID]:
        from confluent_kafka import KafkaError, KafkaException, TopicCollection
        from confluent_kafka.admin import AdminClient

        if not topics:
            return {}
        if self._admin is None:
            self._admin = AdminClient(self._kafka.admin())
        answers = self._admin.describe_topics(TopicCollection(topics), request_timeout=_SECONDS)
        ids: dict[str, UUID] = {}
        for topic, answer in answers.items():
            try:
                found = answer.result(_SECONDS + 1).topic_id
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                continue
            # Both halves are signed 64-bit numbers.
            high, low = found.get_most_significant_bits(), found.get_least_significant_bits()
            ids[topic] = UUID(int=(high & (1 << 64) - 1) << 64 | low & (1 << 64) - 1)
        return ids
