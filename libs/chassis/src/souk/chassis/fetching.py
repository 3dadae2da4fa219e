"""What aiokafka's consumer keeps to itself."""

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError, UnsupportedCodecError


def check_fetching(consumer: AIOKafkaConsumer) -> None:
    """Raise what ended the consumer's task that fetches; asked for records, it gives none from then on.

    So it ends, for one, when a partition is out of range once more before anybody asked for its first error.
    """
    if (ended := consumer._fetcher.error_future).done():
        ended.result()


def is_unreadable(error: Exception) -> bool:
    """Whether aiokafka failed at a record's bytes: a checksum, a codec, a header's name that is no UTF-8.

    What it took of other partitions in the same call is lost then, and at no other error.
    """
    if isinstance(error, ConsumerStoppedError):
        return False
    return not isinstance(error, KafkaError) or isinstance(
        error, (CorruptRecordException, UnsupportedCodecError)
    )
