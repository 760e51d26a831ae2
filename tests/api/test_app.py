"""The composition root: what starts, in which order it ends, and the real parts together."""

import io
import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from api.app import Service, assemble, create_app, open_pipeline
from api.engine import LocalEngine
from api.pipeline import Job
from api.settings import Settings, SettingsError
from api.source.fetch import HttpFetcher
from api.source.isolation import DecodePool
from api.storage import LocalStore, MemoryStore, StoreConfig, open_store
from model.deadline import Deadline
from model.files import SHIPPED
from model.registry import REGISTRY
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, memory_store, photo
from tests.service import serving

FILE = {"image": ("a.jpg", photo())}


class Diary:
    """Parts that note when they come and go."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def part(self, name: str, kind: type) -> Any:
        diary = self.lines

        class Noted(kind):  # type: ignore[misc] # one of the fakes
            async def start(self) -> None:
                await super().start()
                diary.append(f"{name} starts")

            async def close(self) -> None:
                await super().close()
                diary.append(f"{name} ends")

        return Noted


def diary_service(diary: Diary, engine: Any = None) -> Service:
    store = diary.part("store", MemoryStore)
    fetcher = diary.part("fetcher", type("Web", (FakeFetcher,), {"start": None}))
    return assemble(
        Settings(anonymous=True),
        fetcher=fetcher(),
        decoder=diary.part("decoder", InlineDecoder)(),
        engine=engine or diary.part("engine", FakeEngine)(),
        store=store(memory_store().signer),
    )


async def test_parts_end_in_the_opposite_order() -> None:
    diary = Diary()
    service = diary_service(diary)
    assert not service.readiness()["ready"]
    async with service.running():
        assert service.readiness()["ready"]
        assert diary.lines == ["store starts", "decoder starts", "engine starts"]
    assert diary.lines[3:] == ["engine ends", "decoder ends", "store ends", "fetcher ends"]
    assert not service.readiness()["ready"]
    with pytest.raises(RuntimeError):
        service.executor.submit(int)


async def test_what_had_started_is_ended_when_a_later_part_does_not_start() -> None:
    class NoDevice(FakeEngine):
        async def start(self) -> None:
            raise ValueError("no such device: cuda")

    diary = Diary()
    async with AsyncExitStack() as stack:
        with pytest.raises(ValueError, match="cuda"):
            await stack.enter_async_context(diary_service(diary, NoDevice()).running())
    assert diary.lines[2:] == ["decoder ends", "store ends", "fetcher ends"]


def test_without_a_secret_there_is_no_service() -> None:
    with pytest.raises(SettingsError, match="OBJECTCUT_SECRET_ACCESS is not set"):
        create_app(Settings())


def test_an_unknown_model_is_told_by_its_setting() -> None:
    with pytest.raises(SettingsError, match="OBJECTCUT_ENGINE__MODELS: no such model: u2net"):
        assemble(Settings.model_validate({"engine": {"models": ["u2net"]}}), store=memory_store())


@pytest.mark.parametrize(
    "store",
    [
        pytest.param({"directory": "/dev/null/here"}, id="a directory that cannot be made"),
        pytest.param(
            {"kind": "gcs", "gcs": {"bucket": "b", "credentials_file": "/nowhere.json"}}, id="no credentials"
        ),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_by_its_settings(store: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="OBJECTCUT_STORE__…: the store cannot be opened: "):
        assemble(Settings.model_validate({"store": store}), engine=FakeEngine())


async def test_why_it_does_not_start_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class NoDevice(FakeEngine):
        async def start(self) -> None:
            raise ValueError("no such device: cuda")

    with pytest.raises(ValueError, match="cuda"):
        async with serving(engine=NoDevice()):
            pass
    assert "cannot start: no such device: cuda" in caplog.messages


async def test_the_effective_configuration_is_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    secrets = {"secret_access": "hunter2", "store": {"kind": "memory", "signing_keys": ["hunter3" * 6]}}
    async with serving({"anonymous": False, "fetch": {"timeout": 3.5}} | secrets):
        pass
    line = next(record for record in caplog.records if record.message == "starting")
    settings = line.__dict__["fields"]["settings"]
    assert settings["fetch"]["timeout"] == 3.5
    assert settings["store"]["kind"] == "memory"
    assert "hunter" not in "".join(str(record.__dict__) for record in caplog.records)


def test_the_real_parts_are_the_default(tmp_path: Path) -> None:
    service = assemble(Settings.model_validate({"data_dir": tmp_path}))
    assert isinstance(service.fetcher, HttpFetcher)
    assert isinstance(service.decoder, DecodePool)
    assert isinstance(service.engine, LocalEngine)
    assert isinstance(service.store, LocalStore)


def real_settings(data: Path, **more: Any) -> Settings:
    base = {"anonymous": True, "data_dir": data, "cpu_jobs": 1}
    return Settings.model_validate(base | more)


async def cut_and_fetch(app: Any) -> np.ndarray[Any, Any]:
    """A photo through the whole service; its cutout, as its link's bytes have it."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60) as http,
    ):
        assert (await http.get("/readyz")).status_code == 200
        made = await http.post("/v1/cutouts", files={"image": ("a.jpg", photo(640, 480))})
        assert made.status_code == 201, made.text
        assert made.json()["url"].startswith("http://127.0.0.1:8000/v1/cutouts/")
        cutout = await http.get(made.json()["url"])
        assert cutout.status_code == 200
        damaged = await http.post("/v1/cutouts", files={"image": ("a.jpg", photo(640, 480)[:2000])})
        assert damaged.json()["code"] == "corrupt_image"
        private = await http.post("/v1/cutouts", json={"image_url": "http://127.0.0.1/a.jpg"})
        assert private.json()["code"] == "source_forbidden"
        metrics = (await http.get("/metrics")).text
        assert 'objectcut_fetch_refused_total{reason="' in metrics
    image = cv2.imdecode(np.frombuffer(cutout.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.shape == (480, 640, 4)
    return np.asarray(image)


async def test_end_to_end_with_a_tiny_engine(tmp_path: Path) -> None:
    image = await cut_and_fetch(create_app(real_settings(tmp_path), engine=FakeEngine()))
    assert (image[240, 320, 3], image[0, 0, 3]) == (255, 0)
    assert len(list((tmp_path / "cutouts" / "objects").iterdir())) == 1


@pytest.mark.skipif(
    not (SHIPPED / REGISTRY["lite"].weights.file).is_file(), reason="the weights are not in this checkout"
)
async def test_end_to_end_with_the_network(tmp_path: Path) -> None:
    app = create_app(real_settings(tmp_path, engine={"device": "cpu", "cores": 1}))
    alpha = (await cut_and_fetch(app))[..., 3]
    assert alpha[240, 320] > 200
    assert alpha[:20].mean() < 30
    assert {0, 255} < set(alpha.ravel().tolist())
    assert 'objectcut_batch_size_count{model="lite"} 1.0' in app.state.service.metrics.text().decode()


async def test_starting_and_stopping_leaks_no_file(tmp_path: Path) -> None:
    counts = []
    for _ in range(12):
        store = open_store(StoreConfig(directory=tmp_path))
        async with serving(store=store) as served:
            assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] <= counts[1]


async def test_a_pipeline_without_http(tmp_path: Path) -> None:
    settings = real_settings(tmp_path / "untouched")
    async with open_pipeline(settings, engine=FakeEngine()) as pipeline:
        outcome = await pipeline.remove_background(Job(photo()), Deadline.after(60))
    assert io.BytesIO(outcome.encoded.body).read(4) == b"\x89PNG"
    assert not (tmp_path / "untouched").exists()
