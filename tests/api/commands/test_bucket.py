"""objectcut bucket."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tests.api.storage.s3_server import BUCKET, KEY_ID, SECRET, S3Server


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def server(running: S3Server) -> S3Server:
    running.begin()
    return running


def objectcut_bucket(server: S3Server, *options: str, **variables: str) -> Result:
    environment = {
        "OBJECTCUT_STORE__KIND": "s3",
        "OBJECTCUT_STORE__S3__BUCKET": BUCKET,
        "OBJECTCUT_STORE__S3__ENDPOINT": server.endpoint,
        "OBJECTCUT_STORE__S3__ACCESS_KEY_ID": KEY_ID,
        "OBJECTCUT_STORE__S3__SECRET_ACCESS_KEY": SECRET,
    }
    return CliRunner(env=environment | variables).invoke(app, ["bucket", *options])


def days(server: S3Server) -> list[int]:
    """Of the bucket's rules."""
    client = boto3.Session(KEY_ID, SECRET, region_name="us-east-1").client("s3", endpoint_url=server.endpoint)
    rules = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    client.close()
    return [rule["Expiration"]["Days"] for rule in rules]


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        pytest.param([], {}, 4, id="a day more than the 3 of the default"),
        pytest.param([], {"OBJECTCUT_STORE__TTL_SECONDS": "100000"}, 3, id="a life of a day and a half"),
        pytest.param(["--days", "9"], {}, 9, id="as told"),
    ],
)
def test_the_bucket_removes(
    server: S3Server, options: list[str], variables: dict[str, str], expected: int
) -> None:
    result = objectcut_bucket(server, *options, **variables)
    assert (result.exit_code, result.stdout) == (
        0,
        f"results are removed {expected} days after they were last stored\n",
    )
    assert days(server) == [expected]
    assert "as before" in objectcut_bucket(server, *options, **variables).stdout
    assert days(server) == [expected]


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        pytest.param([], {"OBJECTCUT_STORE__KIND": "local"}, "there is no bucket", id="no bucket"),
        pytest.param(["--days", "2"], {}, "less than the life", id="too early"),
        pytest.param([], {"OBJECTCUT_STORE__S3__BUCKET": ""}, "needs s3.bucket", id="no name"),
    ],
)
def test_what_cannot_be(
    server: S3Server, tmp_path: Path, options: list[str], variables: dict[str, str], said: str
) -> None:
    result = objectcut_bucket(server, *options, OBJECTCUT_DATA_DIR=str(tmp_path), **variables)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_bucket_that_is_not_there(server: S3Server) -> None:
    result = objectcut_bucket(server, OBJECTCUT_STORE__S3__BUCKET="nobodys")
    assert result.exit_code == 1
    assert result.exception
