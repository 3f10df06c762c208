"""The log: lines of an event and its values on standard error. Neither secrets nor the content of messages go in."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure(level: str, format: Literal["text", "json"]) -> None:
    """Write lines of this level and above from now on, for people or for programs."""
    renderer: structlog.typing.Processor
    if format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        # tracebacks without the values of variables, which may be secrets or content
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if format == "json" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
