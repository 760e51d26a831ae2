"""Leads what a client sends to https://api.remove.bg to CLIENTS_BASE_URL. Python imports this at its start.

Nothing else of the client, or of requests, is touched.
"""

import os
from typing import Any

import requests

_PUBLISHED = "https://api.remove.bg"
_session: Any = requests.Session
_request = _session.request


def _redirected(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
    if url.startswith(_PUBLISHED):
        url = os.environ["CLIENTS_BASE_URL"] + url.removeprefix(_PUBLISHED)
    return _request(self, method, url, *args, **kwargs)


_session.request = _redirected
