"""`python -m souk.local.standins`: see `souk.local.standins.settings` for its environment."""

import asyncio
import sys

import uvloop
from pydantic import ValidationError

from souk.local.errors import StackError
from souk.local.standins.server import run
from souk.local.standins.settings import StandinSettings


def main() -> int:
    try:
        settings = StandinSettings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except ValidationError as error:
        print(f"The stand-ins' environment is not complete: {error.errors()[0]['loc']}", file=sys.stderr)
        return 1
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
