"""How a producer is kept from sending: for as long as it may not, and, when it has to end, for ever.

Its own stop() would send what it still holds.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import NodeNotReadyError, ProducerClosed
from aiokafka.protocol.produce import ProduceRequest

from souk.chassis.errors import explain

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0
_FORGET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: a socket that is closed sends nothing more, and resets the connection."""


def ask_before_sending(producer: AIOKafkaProducer, may_send: Callable[[], bool]) -> None:
    """Have records written to a connection only if `may_send` says so, asked in the same moment.

    What was refused the producer tries again, until it is silenced.
    """
    client = producer.client
    send = client.send

    async def asking(node: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        # Connecting takes time. With a connection nothing is waited for between the question and the writing.
        if isinstance(request, ProduceRequest) and await client.ready(node, group=group) and not may_send():
            raise NodeNotReadyError("nothing may be sent now")
        return await send(node, request, group=group)

    client.send = asking


async def silence(producer: AIOKafkaProducer) -> None:
    """Close the producer so that nothing it still holds is sent, neither by it nor by the kernel.

    Doesn't raise; after it no connection of the producer is left, and none that is being made will be used.
    """
    client = producer.client
    connections, client._conns = list(client._conns.values()), _Closed()
    for connection in connections:
        _reset(connection)
    sender = producer._sender.sender_task if producer._sender is not None else None
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            if sender is not None:
                # It waits for requests that are being made, one of which may still be connecting.
                sender.cancel()
                await asyncio.wait({sender})
            producer._message_accumulator.fail_all(ProducerClosed())
            await producer.stop()
    except Exception as error:  # noqa: BLE001  it is thrown away either way
        producer._message_accumulator.fail_all(ProducerClosed())
        log.warning("a producer closed with %s", explain(error))


class _Closed(dict[Any, Any]):
    """The connections of a client that is to have none: one that was being made is reset."""

    def __setitem__(self, key: Any, connection: Any) -> None:
        _reset(connection)
        raise NodeNotReadyError("the producer is closed")


def _reset(connection: Any) -> None:
    """Close it without what the kernel has not delivered: it would try for minutes, and what comes of it then
    stands behind what others have sent since."""
    if (writer := connection._writer) is not None:
        if (opened := writer.get_extra_info("socket")) is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET)
        writer.transport.abort()
    connection.close()
