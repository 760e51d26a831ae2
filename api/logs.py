"""One JSON object a line, on standard output; of each request exactly one."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TextIO
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from api.tracing import TRACE_ID

REQUESTS = logging.getLogger("objectcut.requests")
SERVICE = logging.getLogger("objectcut")
REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID")
"""Set while a request is answered: every line that is logged meanwhile tells it."""


class LogConfig(BaseModel):
    """What is logged, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    format: Literal["json", "text"] = Field("json", description="`text` is for a terminal.")


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", …}`; a record's `fields` mapping is merged in."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds: json escapes line breaks and control characters."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get(None):
            line["request_id"] = request_id
        if trace_id := TRACE_ID.get(None):
            line["trace_id"] = trace_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for the eye."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The usual line, with the fields behind it."""
        fields = getattr(record, "fields", {})
        shown = " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in fields.items())
        return f"{super().format(record)} {shown}".rstrip()


_NOISY = ("uvicorn.access", "httpx", "httpcore", "python_multipart", "urllib3", "boto3", "botocore", "google")
"""These speak of every single request or connection, with addresses that may hold tokens."""


def configure(config: LogConfig, stream: TextIO = sys.stdout) -> None:
    """Sends every log of the process through one handler. Called once, by whoever owns the process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    logging.basicConfig(level=config.level.upper(), handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def without_secrets(url: str) -> str:
    """A URL as it may be logged: without query, fragment, user and password; at most 200 characters."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{parts.path}"[:200]
