"""Published weights from a Hugging Face hub: resumed, verified, then brought in by model.weights.

huggingface_hub speaks to the hub, so that HF_ENDPOINT (a mirror), HF_HUB_OFFLINE, HF_TOKEN, HF_HOME (its
cache) and the proxy variables mean what they mean everywhere. Its own download forgets what it has when the
process ends; ours lies in a hidden folder beside the models until it is whole.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

from model import weights
from model.errors import ModelUnavailable
from model.files import Pin, pinned
from model.registry import ModelSpec

__all__ = ["pull"]

_FILE = "model.safetensors"
"""The name that hubs give to a model's weights."""

_NEWEST = "main"
"""The branch that a hub's versions are on, whatever commit the registry has verified."""

_PARTS = ".pull"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def pull(
    spec: ModelSpec,
    directory: Path,
    *,
    revision: str | None = None,
    replace: bool = False,
    endpoint: str | None = None,
) -> Path:
    """Brings the weights of `spec` into `directory`; their path. What is there and whole is left alone.

    spec: one with a repository. revision: another branch or commit than the registry's. replace: take what
    the hub has now, even if another file is recorded in models.lock or the registry. endpoint: of the hub, by
    default huggingface_hub's own.
    Raises ModelUnavailable when the file cannot be had, is not the one on record, or is another network's.
    Models and models.lock are then as they were; the next call goes on with what an interrupted one has left.
    """
    parts = directory / _PARTS
    parts.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(parts / "lock"):
        wanted = None if replace else pinned(spec, directory)
        if wanted and revision in (None, wanted.revision) and _is_here(spec, directory, wanted):
            return directory / spec.weights.file
        # Of what is on record its own commit: the branch may have moved on.
        recorded = _NEWEST if replace and spec.weights.sha256 else spec.weights.revision
        revision = revision or (wanted and wanted.revision) or recorded
        file, commit = _obtain(spec, parts, revision, wanted, endpoint)
        try:
            return weights.import_weights(file, spec, directory, revision=commit)
        finally:
            if file.parent == parts:
                file.unlink()


def _is_here(spec: ModelSpec, directory: Path, wanted: Pin) -> bool:
    path = directory / spec.weights.file
    return path.is_file() and _sha256(path) == wanted.sha256


def _obtain(
    spec: ModelSpec, parts: Path, revision: str, wanted: Pin | None, endpoint: str | None
) -> tuple[Path, str]:
    """The verified file, in `parts` or in huggingface_hub's cache, and its commit."""
    repo = str(spec.weights.repo)
    url = hf_hub_url(repo, _FILE, revision=revision, endpoint=endpoint)
    try:
        with _told(url):
            metadata = get_hf_file_metadata(url)
    except OfflineModeIsEnabled:
        metadata = None
    expected = wanted.sha256 if wanted else None
    if metadata and _SHA256.fullmatch(metadata.etag or ""):  # of large files a hub tells the sha256
        if expected not in (None, metadata.etag):
            raise ModelUnavailable(_another(spec, str(metadata.etag), str(expected)))
        expected = metadata.etag
    cached = try_to_load_from_cache(repo, _FILE, revision=(metadata and metadata.commit_hash) or revision)
    if isinstance(cached, str):
        file = Path(cached)
        try:
            _verify(spec, file, expected)
            return file, file.parent.name
        except ModelUnavailable:
            if metadata is None:  # else what is damaged there is had anew
                raise
    if metadata is None:
        raise ModelUnavailable(
            f"HF_HUB_OFFLINE is set, and {repo} at {revision} is not in the cache of huggingface_hub"
        )
    if not (metadata.commit_hash and metadata.etag):
        raise ModelUnavailable(f"{url}: what answers there is no hub")
    # By its commit: a branch may move between two requests, and between an interruption and the resumption.
    url = hf_hub_url(repo, _FILE, revision=metadata.commit_hash, endpoint=endpoint)
    part = _download(spec, parts, url, metadata)
    try:
        _verify(spec, part, expected)
    except ModelUnavailable:
        part.unlink()  # nothing can be made of it
        raise
    return part.replace(parts / spec.weights.file), metadata.commit_hash


def _download(spec: ModelSpec, parts: Path, url: str, metadata: HfFileMetadata) -> Path:
    """The whole file, under a name that belongs to these very bytes, so that others are never appended."""
    key = hashlib.sha256(str(metadata.etag).encode()).hexdigest()[:16]
    part = parts / f"{spec.name}.{key}.part"
    for stale in set(parts.glob(f"{spec.name}.*.part")) - {part}:
        stale.unlink()
    with part.open("ab") as out, _told(url):
        if metadata.size is not None and out.tell() > metadata.size:
            out.truncate(0)  # no prefix of the file
        http_get(
            url,
            out,
            resume_size=part.stat().st_size,
            headers=build_hf_headers(),
            expected_size=metadata.size,
            displayed_filename=spec.name,
        )
    return part


def _verify(spec: ModelSpec, file: Path, expected: str | None) -> None:
    """Raises ModelUnavailable when the file is not the one that is expected; None: any is welcome."""
    if expected is not None and (actual := _sha256(file)) != expected:
        raise ModelUnavailable(_another(spec, actual, expected))


def _another(spec: ModelSpec, actual: str, expected: str) -> str:
    return (
        f"the file of '{spec.name}' is damaged, or not the one on record: sha256 {actual}, "
        f"expected {expected}. If {spec.weights.repo} has a new version that you want, run "
        f"`objectcut models pull --replace {spec.name}`"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _told(url: str) -> Iterator[None]:
    """The hub's failures as ours, but for its being offline by choice."""
    try:
        yield
    except OfflineModeIsEnabled:
        raise
    except HfHubHTTPError as exc:
        raise ModelUnavailable(f"{url}: the hub answered {exc.response.status_code}") from exc
    except Exception as exc:  # the HTTP library below, and its errors, change with huggingface_hub's version
        raise ModelUnavailable(f"{url}: {exc}") from exc
