"""A service on a real socket, and both clients."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from api.app import create_app
from api.settings import Settings
from api.storage import MemoryStore, UrlSigner
from objectcut_client import Retries
from tests.clients_python.faces import Face, face
from tests.clients_python.fake_jobs import FakeJobs
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, photo
from tests.listening import listening
from tests.service import KEY

RETRIES = Retries(base=0.02, cap=0.1)
PAGE = "https://img.example/photo.jpg"


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Everything of the service but its network and the web."""
    directory = tmp_path_factory.mktemp("service")

    def app(url: str) -> object:
        return create_app(
            Settings(secret_access=KEY, cpu_jobs=1, data_dir=directory),
            fetcher=FakeFetcher({PAGE: photo()}),
            decoder=InlineDecoder(),
            engine=FakeEngine(),
            store=MemoryStore(UrlSigner([b"k" * 32], url)),
        )

    with listening(app) as url:  # type: ignore[arg-type] # FastAPI is one
        yield url


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(service: str, kind: str) -> Iterator[Face]:
    with face(kind, service, KEY) as client:
        yield client


@dataclass
class Jobs:
    """A client, and a service behind it whose faults can be chosen."""

    fake: FakeJobs
    client: Face


@pytest.fixture
def jobs(kind: str) -> Iterator[Jobs]:
    """The routes of jobs alone, for what the service itself does not do when it is asked to."""
    fake = FakeJobs()
    with listening(fake.app) as url, face(kind, url, KEY, retries=RETRIES) as client:
        yield Jobs(fake, client)
