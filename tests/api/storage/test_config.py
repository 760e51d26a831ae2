import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from api.storage import LocalStore, MemoryStore, ServedStore, StoreConfig, open_store
from tests.contract.store import key_of, picture, soon

SECRET = SecretStr("s" * 32)

REFUSED = [
    pytest.param({"kind": "floppy"}, "kind", id="unknown kind"),
    pytest.param({"ttl_second": 60}, "ttl_second", id="unknown field"),
    pytest.param({"gcs": {"buckett": "x"}}, "buckett", id="unknown field of the bucket"),
    pytest.param({"kind": "gcs"}, "bucket", id="no bucket"),
    pytest.param({"kind": "s3"}, "bucket", id="no bucket of S3"),
    pytest.param({"s3": {"access_key_id": "x"}}, "go together", id="half a key"),
    pytest.param({"s3": {"endpoint": "minio:9000"}}, "endpoint", id="endpoint that is no URL"),
    pytest.param({"s3": {"public_url": "https://cdn.test/x/"}}, "public_url", id="slash at the end"),
    pytest.param({"ttl_seconds": 59}, "ttl_seconds", id="life too short"),
    pytest.param({"ttl_seconds": 366 * 86_400}, "ttl_seconds", id="life too long"),
    pytest.param({"base_url": "ftp://cut.test"}, "base_url", id="not http"),
    pytest.param({"base_url": "https://cut.test/?a=b"}, "base_url", id="query"),
    pytest.param({"signing_keys": ["short"]}, "signing_keys", id="short key"),
    pytest.param({"min_free_share": 1}, "min_free_share", id="no space would be enough"),
    pytest.param({"gcs": {"prefix": "/cutouts/"}}, "prefix", id="absolute prefix"),
    pytest.param({"gcs": {"prefix": "cutouts"}}, "prefix", id="prefix without its slash"),
    pytest.param({"gcs": {"tries": 6}}, "tries", id="too many tries"),
]


@pytest.mark.parametrize(("fields", "named"), REFUSED)
def test_wrong_configuration_is_refused_by_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        StoreConfig.model_validate(fields)


def test_secrets_are_never_shown() -> None:
    assert "ssss" not in repr(StoreConfig(signing_keys=(SECRET,)))
    with pytest.raises(ValidationError) as refused:
        StoreConfig.model_validate({"signing_keys": ["a short secret"]})
    assert "a short secret" not in str(refused.value)


def test_every_field_is_described() -> None:
    schema = StoreConfig.model_json_schema()
    buckets = {"gcs": "GcsConfig", "s3": "S3Config"}
    fields = [*schema["properties"].items()]
    for definition in buckets.values():
        fields += schema["$defs"][definition]["properties"].items()
    assert [name for name, field in fields if "description" not in field and name not in buckets] == []


async def test_opens_memory() -> None:
    store = open_store(StoreConfig(kind="memory", base_url="https://cut.test/under/"))
    assert isinstance(store, MemoryStore)
    assert isinstance(store, ServedStore)
    link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    assert link.url.startswith("https://cut.test/under/v1/cutouts/")
    await store.close()


async def test_local_links_survive_a_restart(tmp_path: Path) -> None:
    config = StoreConfig(directory=tmp_path / "data")
    first = open_store(config)
    link = await first.put(key_of("a"), picture(), facts={}, deadline=soon())
    await first.close()
    second = open_store(config)
    assert isinstance(second, LocalStore)
    parts = urlsplit(link.url)
    second.signer.verify(parts.path, dict(parse_qsl(parts.query)))
    await second.close()


async def test_configured_keys_sign_and_none_is_kept(tmp_path: Path) -> None:
    config = StoreConfig(directory=tmp_path, signing_keys=(SECRET,))
    store = open_store(config)
    link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    await store.close()
    rotated = open_store(StoreConfig(kind="memory", signing_keys=(SecretStr("n" * 32), SECRET)))
    assert isinstance(rotated, MemoryStore)
    parts = urlsplit(link.url)
    rotated.signer.verify(parts.path, dict(parse_qsl(parts.query)))
    await rotated.close()
    assert not (tmp_path / "signing-key").exists()


def test_clients_of_buckets_are_imported_only_for_them() -> None:
    code = "import sys, api.storage; sys.exit(bool({'google.auth', 'requests', 'boto3'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
