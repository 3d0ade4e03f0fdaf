"""How the services log: one event a line on standard error."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging() -> None:
    """JSON lines for machines, aligned columns for a terminal; times in UTC.

    Events carry names and numbers, never a setting's value: addresses may hold passwords.
    """
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
