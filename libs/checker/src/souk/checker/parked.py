"""Records that a service could not apply and keeps until somebody decides."""

from souk.checker.database import Connection
from souk.checker.finding import MOST, Finding
from souk.contracts.topic import Service

_PARKED = """
SELECT topic, key, count(*) AS records, min("offset") AS first, max(attempts) AS attempts
FROM parked GROUP BY topic, key ORDER BY topic, key LIMIT $1
"""


async def parked(connection: Connection, service: Service) -> list[Finding]:
    """One finding a key with parked records."""
    return [
        Finding(
            "parked",
            f"{service} {row['topic']} {(row['key'] or b'').decode(errors='backslashreplace')}".rstrip(),
            f"{row['records']} from offset {row['first']} on, tried {row['attempts']} times at most",
        )
        for row in await connection.fetch(_PARKED, MOST)
    ]
