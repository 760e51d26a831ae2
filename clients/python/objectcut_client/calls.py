"""The logic of every method, for both clients: generators that yield commands and are sent their outcomes."""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from objectcut_client.errors import (
    ApiError,
    Busy,
    ConnectionFailed,
    ObjectCutError,
    TimedOut,
    Unavailable,
)
from objectcut_client.events import EventParser
from objectcut_client.retries import IN_FLIGHT, RETRIED, UNSURE, Deadline, Retries
from objectcut_client.types import Account, Cutout, CutoutFile, Image, Job, Model, Options
from objectcut_client.wire import Answer, Call, Flow, Listen, Pause, Read, Send

SILENCE = 45.0
"""Seconds; the service sends a heartbeat every 15."""
Progress = Callable[[Job], None]


@dataclass(frozen=True, slots=True)
class Calls:
    """timeout: seconds for a whole method, its retries included."""

    timeout: float
    retries: Retries
    clock: Callable[[], float] = time.monotonic

    def cut(self, image: Image, background: Image | None, options: Options) -> Flow[Cutout]:
        answer = yield from self._post("/v1/cutouts", image, background, options, "application/json")
        return Cutout.parse(answer.json())

    def cut_bytes(self, image: Image, background: Image | None, options: Options) -> Flow[CutoutFile]:
        accept = "image/*, application/zip;q=0.9"
        answer = yield from self._post("/v1/cutouts", image, background, options, accept)
        return CutoutFile.parse(answer.content, answer.headers)

    def find(self, id: str) -> Flow[Cutout]:
        return Cutout.parse((yield from self._get(f"/v1/cutouts/{id}")).json())

    def download(self, cutout: Cutout | str) -> Flow[bytes]:
        url = cutout if isinstance(cutout, str) else cutout.url
        return (yield from self._get(url, accept="*/*")).content

    def delete(self, id: str) -> Flow[None]:
        yield from self._send(Call("DELETE", f"/v1/cutouts/{id}"), self._deadline())

    def models(self) -> Flow[list[Model]]:
        body = (yield from self._get("/v1/models")).json()
        return [Model.parse(each) for each in body["models"]]

    def account(self) -> Flow[Account]:
        return Account.parse((yield from self._get("/v1/account")).json())

    def create_job(
        self, images: Image | Sequence[str], background: Image | None, webhook: str | None, options: Options
    ) -> Flow[Job]:
        more = {"webhook_url": webhook} if webhook else {}
        if not isinstance(images, Sequence) or isinstance(images, str | bytes):
            answer = yield from self._post("/v1/jobs", images, background, {**options, **more})
            return Job.parse(answer.json())
        if background is not None:
            if (url := _url(background)) is None:
                raise ValueError("with a list of URLs, background_image must be a URL, too")
            more["background_image_url"] = url
        call = Call("POST", "/v1/jobs", json={"image_urls": list(images), **options, **more})
        return Job.parse((yield from self._send(_with_key(call), self._deadline())).json())

    def job(self, id: str) -> Flow[Job]:
        return Job.parse((yield from self._get(f"/v1/jobs/{id}")).json())

    def results(self, id: str) -> Flow[Job]:
        return Job.parse((yield from self._get(f"/v1/jobs/{id}/results")).json())

    def results_zip(self, id: str) -> Flow[bytes]:
        return (yield from self._get(f"/v1/jobs/{id}/results", accept="application/zip")).content

    def delete_job(self, id: str) -> Flow[None]:
        yield from self._send(Call("DELETE", f"/v1/jobs/{id}"), self._deadline(), once=True)

    def wait(self, id: str, timeout: float, on_progress: Progress | None) -> Flow[Job]:
        """By events; whenever these do not come, by asking, ever less often."""
        deadline, parser, rounds = Deadline.after(timeout, self.clock), EventParser(), 0
        news: list[Job] = []
        ended: list[Job] = []

        def on_part(part: bytes) -> bool:
            for event in parser.feed(part):
                if event.name not in ("progress", "done"):
                    continue
                news.append(Job.parse(json.loads(event.data)))
                if on_progress:
                    on_progress(news[-1])
                if event.name == "done":
                    ended.append(news[-1])
            return bool(ended)

        while True:
            resume = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
            events = Call("GET", f"/v1/jobs/{id}/events", {"Accept": "text/event-stream"} | resume)
            parser.reset()
            news.clear()
            with suppress(ConnectionFailed):  # one of hours may end; the next one resumes
                yield Listen(events, deadline, SILENCE, on_part)
            if ended:
                return ended[0]
            bounded = replace(self, timeout=min(self.timeout, deadline.remaining()))
            with suppress(ConnectionFailed, TimedOut, Unavailable, Busy):  # the job outlives a restart
                if (job := (yield from bounded.job(id))).finished:
                    return job
            rounds = 0 if news else rounds + 1
            pause = max(self.retries.base, self.retries.pause(rounds, None))
            if pause >= deadline.remaining():
                raise TimedOut(f"job {id} has not finished in {timeout:g} s")
            yield Pause(pause)

    def _post(
        self,
        path: str,
        image: Image,
        background: Image | None,
        options: Mapping[str, Any],
        accept: str = "application/json",
    ) -> Flow[Answer]:
        deadline = self._deadline()
        members, files = dict(options), {}
        for name, given in (("image", image), ("background_image", background)):
            if given is None:
                continue
            if (url := _url(given)) is not None:
                members[f"{name}_url"] = url
            else:
                files[name] = yield Read(given)
        call = Call("POST", path, {"Accept": accept})
        if files:
            call = replace(call, fields={name: _text(value) for name, value in members.items()}, files=files)
        else:
            call = replace(call, json=members)
        return (yield from self._send(_with_key(call), deadline))

    def _get(self, url: str, *, accept: str = "application/json") -> Flow[Answer]:
        return (yield from self._send(Call("GET", url, {"Accept": accept}), self._deadline()))

    def _send(self, call: Call, deadline: Deadline, *, once: bool = False) -> Flow[Answer]:
        """Raises ApiError, ConnectionFailed, TimedOut.

        once: it is not sent again where it may have been carried out.
        """
        sent, unsure = 0, False
        while (left := deadline.remaining()) > 0:
            failure: ObjectCutError
            told: ApiError | None = None
            try:
                # The service need not go on for longer than anybody waits.
                timed = replace(call, headers={**call.headers, "X-Timeout": f"{left:.3f}"})
                answer = yield Send(timed, deadline)
                # What is gone after an answer that was lost, this very call has removed.
                if answer.ok or (unsure and call.method == "DELETE" and answer.status == 404):
                    return answer  # type: ignore[no-any-return] # what the drivers send is not typed
                failure = told = answer.failure()
                again = told.status in RETRIED or told.code == IN_FLIGHT
                unsure = unsure or told.status in UNSURE
            except ConnectionFailed as exc:
                failure, again, unsure = exc, True, True
            sent += 1
            pause = self.retries.pause(sent, told.retry_after if told else None)
            left = deadline.remaining()
            vain = left <= pause or (once and unsure)
            if not again or sent >= self.retries.attempts or (left > 0 and vain):
                raise failure
            if left > 0:
                yield Pause(pause)
        raise TimedOut(f"{call.method} {call.url.partition('?')[0]}: no answer in time")

    def _deadline(self) -> Deadline:
        return Deadline.after(self.timeout, self.clock)


def _with_key(call: Call) -> Call:
    """One key for all repetitions: the service does its work, and charges for it, once."""
    return replace(call, headers={**call.headers, "Idempotency-Key": str(uuid.uuid4())})


def _url(image: Image) -> str | None:
    """The text, if it is a URL rather than a path."""
    return image if isinstance(image, str) and image.lower().startswith(("http://", "https://")) else None


def _text(value: object) -> str:
    """As a form has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
