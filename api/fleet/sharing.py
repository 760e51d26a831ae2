"""What several processes of the service, each on a machine of its own, cannot do, and what they need."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.environment import PREFIX, SettingsError
from api.errors import JobsUnavailable
from api.middleware import request_id_of
from api.settings import Settings

__all__ = ["OneProcessOnly", "check_shared"]

_ROUTES = ("/v1/jobs", "/v1/rooms", "/v1/webhook-secret")


def check_shared(settings: Settings) -> None:
    """Raises SettingsError, which names every setting with which one process would not know another's."""
    faults = []
    if settings.store.kind in ("local", "memory"):
        faults.append(f"{PREFIX}STORE__KIND: results are wanted in a bucket (s3, gcs)")
    if settings.accounts.redis_url is None:
        faults.append(f"{PREFIX}ACCOUNTS__REDIS_URL: keys, credits and windows are wanted in Redis")
    if not settings.secret_access:
        faults.append(f"{PREFIX}SECRET_ACCESS: names of results are made with it, the same everywhere")
    if faults:
        raise SettingsError("several ingresses: " + "; ".join(faults))


class OneProcessOnly:
    """Around a service of several processes: refuses what only the process that began it could go on with."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_ROUTES):
            error = JobsUnavailable(public="Jobs and rooms are of one process, and this service has several.")
            request_id = request_id_of(scope)
            answer = problems.response(error, request_id, {"X-Request-Id": request_id})
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)
