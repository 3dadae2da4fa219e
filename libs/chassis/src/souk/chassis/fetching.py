"""What aiokafka's consumer keeps to itself."""

from aiokafka import AIOKafkaConsumer


def check_fetching(consumer: AIOKafkaConsumer) -> None:
    """Raise what ended the consumer's task that fetches; asked for records, it gives none from then on.

    So it ends, for one, when a partition is out of range once more before anybody asked for its first error.
    """
    if (ended := consumer._fetcher.error_future).done():
        ended.result()
