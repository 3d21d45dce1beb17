"""`python -m app`: the API and its workers, from one command."""

from __future__ import annotations

import logging
import signal
import sys

import uvicorn
from pydantic import ValidationError

from app.errors import FatalError
from app.liveness import hold_lock
from app.main import create_app
from app.settings import Settings

CLOSE_TIMEOUT_S = 3


def main() -> int:
    """Serve until a signal ends it. Returns the exit status: 2 for wrong settings."""
    try:
        settings = Settings()
    except ValidationError as error:
        for item in error.errors():
            name = "RELOGIT_" + "_".join(str(part) for part in item["loc"][:1]).upper()
            print(f"{name}: {item['msg']} (got {item['input']!r})", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal that ended it once more when all is closed; by then it has been obeyed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        with hold_lock(settings.internal_dir / "service.lock"):
            server.run()
    except (FatalError, OSError) as error:
        print(f"relogit cannot start: {error}", file=sys.stderr)
        return 1
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
