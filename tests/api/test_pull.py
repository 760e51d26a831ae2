"""Weights from a hub: whole, the right ones, or not at all."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub import constants
from torch import Tensor

from api.pull import pull
from model import weights
from model.errors import ModelUnavailable
from model.registry import ModelSpec
from tests.hub import Fault, Hub
from tests.model.toy import Toy, toy_spec

REPO = "org/toy"
PIECE = 1000
"""Bytes that the client writes at a time."""

TOY = toy_spec()
SPEC = replace(TOY, weights=replace(TOY.weights, repo=REPO))


def published(change: float = 0.01, prefix: str = "", dtype: torch.dtype = torch.float32) -> bytes:
    """A checkpoint as its authors would publish it."""
    state: dict[str, Tensor] = {}
    for key, value in Toy().state_dict().items():
        state[prefix + key] = (value + change).to(dtype) if value.is_floating_point() else value
    return safetensors.torch.save(state)


GOOD = published()
NEWER = published(change=0.02)
HALF = len(GOOD) // 2 // PIECE * PIECE
"""What a client has written when the connection is dropped."""


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client writes pieces of ten megabytes, which is more than a toy has."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", PIECE)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub({REPO: GOOD}) as hub:
        yield hub


def visible(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("[!.]*"))


def left(directory: Path) -> list[str]:
    """What lies in the hidden folder, but for the lock that pulls take turns by."""
    return [path.name for path in (directory / ".pull").iterdir() if path.name != "lock"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(GOOD, id="float32"),
        pytest.param(published(dtype=torch.float16), id="float16"),
        pytest.param(published(prefix="module."), id="with a prefix"),
    ],
)
@pytest.mark.parametrize("tells_sha256", [pytest.param(True, id="hub"), pytest.param(False, id="mirror")])
def test_what_is_published_is_kept_pinned_and_loaded(tmp_path: Path, data: bytes, tells_sha256: bool) -> None:
    with Hub({REPO: data}, tells_sha256=tells_sha256) as hub:
        path = pull(SPEC, tmp_path, endpoint=hub.url)
        assert path.read_bytes() == data
        pin = {"sha256": sha256(data), "size": len(data), "revision": hub.commit(REPO)}
        assert json.loads((tmp_path / "models.lock").read_bytes()) == {"toy": pin}
        assert visible(tmp_path) == ["models.lock", "toy.golden.npy", "toy.safetensors"]
        assert left(tmp_path) == []
        assert weights.verify(SPEC, tmp_path) == sha256(data)
        for key, value in weights.load(SPEC, tmp_path).net.state_dict().items():
            expected = Toy().state_dict()[key]
            torch.testing.assert_close(value, expected + 0.01 if value.is_floating_point() else expected,
                                       rtol=1e-3, atol=1e-3)  # fmt: skip
        asked = len(hub.asked)
        assert pull(SPEC, tmp_path, endpoint=hub.url) == path
        assert len(hub.asked) == asked, "what is there and whole needs no hub"


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        pytest.param(["flip"], r"damaged.*sha256 [0-9a-f]{64}, expected [0-9a-f]{64}", id="wrong byte"),
        pytest.param(["short"], "size", id="truncated"),
        pytest.param([500], "the hub answered 500", id="bytes answer 500"),
        pytest.param(["drop", 503], "the hub answered 503", id="interrupted"),
    ],
)
def test_what_does_not_arrive_whole_leaves_nothing_visible(
    tmp_path: Path, hub: Hub, faults: list[Fault], says: str
) -> None:
    hub.faults.extend(faults)
    with pytest.raises(ModelUnavailable, match=says):
        pull(SPEC, tmp_path, endpoint=hub.url)
    assert visible(tmp_path) == []
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == GOOD
    assert left(tmp_path) == []


def test_a_dropped_connection_is_taken_up_again(tmp_path: Path, hub: Hub) -> None:
    hub.faults.append("drop")
    pull(SPEC, tmp_path, endpoint=hub.url)
    assert hub.ranges == [None, f"bytes={HALF}-"]


def test_an_interrupted_pull_goes_on_where_it_ended(tmp_path: Path, hub: Hub) -> None:
    hub.faults.extend(["drop", 503])
    with pytest.raises(ModelUnavailable):
        pull(SPEC, tmp_path, endpoint=hub.url)
    hub.asked.clear()
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == GOOD
    assert hub.ranges == [f"bytes={HALF}-"]


def test_a_part_of_an_older_file_is_never_appended_to(tmp_path: Path, hub: Hub) -> None:
    hub.faults.extend(["drop", 503])
    with pytest.raises(ModelUnavailable):
        pull(SPEC, tmp_path, endpoint=hub.url)
    hub.files[REPO] = NEWER
    hub.asked.clear()
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == NEWER
    assert hub.ranges == [None]
    assert left(tmp_path) == []


def test_a_part_that_is_too_long_is_thrown_away(tmp_path: Path, hub: Hub) -> None:
    hub.faults.extend(["drop", 503])
    with pytest.raises(ModelUnavailable):
        pull(SPEC, tmp_path, endpoint=hub.url)
    (part,) = (tmp_path / ".pull").glob("*.part")
    part.write_bytes(2 * GOOD)
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == GOOD


def test_a_hub_that_cannot_resume_sends_it_all_again(tmp_path: Path, hub: Hub) -> None:
    hub.faults.extend(["drop", 503, "whole"])
    with pytest.raises(ModelUnavailable):
        pull(SPEC, tmp_path, endpoint=hub.url)
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == GOOD


def elsewhere(repo: str) -> ModelSpec:
    return replace(SPEC, weights=replace(SPEC.weights, repo=repo))


@pytest.mark.parametrize(
    ("spec", "revision"),
    [
        pytest.param(elsewhere("org/nothing"), None, id="no such repository"),
        pytest.param(SPEC, "0" * 40, id="no such revision"),
    ],
)
def test_what_the_hub_does_not_have(tmp_path: Path, hub: Hub, spec: ModelSpec, revision: str | None) -> None:
    with pytest.raises(ModelUnavailable, match="the hub answered 404"):
        pull(spec, tmp_path, revision=revision, endpoint=hub.url)
    assert visible(tmp_path) == left(tmp_path) == []


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with Hub({}) as hub:
        gone = hub.url
    with pytest.raises(ModelUnavailable, match=f"{gone}/org/toy"):
        pull(SPEC, tmp_path, endpoint=gone)


def of_another_network(data: bytes) -> bytes:
    state = safetensors.torch.load(data)
    state["entrance.weight"] = state.pop("enter.weight")
    return safetensors.torch.save(state)


def of_nan(data: bytes) -> bytes:
    return safetensors.torch.save(safetensors.torch.load(data) | {"leave.bias": torch.full((1,), torch.nan)})


def of_pickle(data: bytes) -> bytes:
    return b"cos\nsystem\n(S'true'\ntR."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(of_another_network, "1 missing: enter.weight; 1 unexpected: entrance", id="network"),
        pytest.param(of_nan, "gives NaN", id="NaN"),
        pytest.param(of_pickle, "not a readable checkpoint", id="pickle"),
    ],
)
def test_weights_that_do_not_serve_are_refused(
    tmp_path: Path, hub: Hub, change: Callable[[bytes], bytes], says: str
) -> None:
    hub.files[REPO] = change(GOOD)
    with pytest.raises(ModelUnavailable, match=says):
        pull(SPEC, tmp_path, endpoint=hub.url)
    assert visible(tmp_path) == left(tmp_path) == []


def test_a_damaged_file_is_pulled_again(tmp_path: Path, hub: Hub) -> None:
    path = pull(SPEC, tmp_path, endpoint=hub.url)
    path.write_bytes(GOOD[:-1])
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == GOOD


@pytest.mark.parametrize("tells_sha256", [pytest.param(True, id="hub"), pytest.param(False, id="mirror")])
def test_another_file_than_on_record_is_taken_only_when_asked_for(tmp_path: Path, tells_sha256: bool) -> None:
    with Hub({REPO: GOOD}, tells_sha256=tells_sha256) as hub:
        pull(SPEC, tmp_path, endpoint=hub.url)
        hub.files[REPO] = NEWER
        hub.asked.clear()
        with pytest.raises(
            ModelUnavailable, match=f"{sha256(NEWER)}, expected {sha256(GOOD)}.*--replace toy"
        ):
            pull(SPEC, tmp_path, revision="main", endpoint=hub.url)
        assert not (tells_sha256 and hub.ranges), "known before a byte is loaded"
        assert weights.verify(SPEC, tmp_path) == sha256(GOOD)
        pull(SPEC, tmp_path, replace=True, endpoint=hub.url)
        assert weights.verify(SPEC, tmp_path) == sha256(NEWER)


@pytest.mark.parametrize(
    ("data", "fits"), [pytest.param(GOOD, True, id="the one"), pytest.param(NEWER, False, id="another")]
)
def test_a_file_that_the_registry_knows(tmp_path: Path, hub: Hub, data: bytes, fits: bool) -> None:
    spec = replace(SPEC, weights=replace(SPEC.weights, sha256=sha256(data), size=len(data)))
    if fits:
        assert pull(spec, tmp_path, endpoint=hub.url).read_bytes() == data
    else:
        with pytest.raises(ModelUnavailable, match=f"expected {sha256(data)}"):
            pull(spec, tmp_path, endpoint=hub.url)
        assert hub.ranges == []


def test_what_is_on_record_is_asked_for_by_its_own_commit(tmp_path: Path, hub: Hub) -> None:
    path = pull(SPEC, tmp_path, endpoint=hub.url)
    hub.publish(REPO, NEWER)
    path.unlink()  # as on another machine, to which models.lock came with the code
    assert pull(SPEC, tmp_path, endpoint=hub.url).read_bytes() == GOOD


def test_a_damaged_file_in_the_clients_cache_is_not_all_there_is(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot = tmp_path / "cache" / "models--org--toy" / "snapshots" / hub.commit(REPO)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(GOOD[:-1])
    assert pull(SPEC, tmp_path / "models", endpoint=hub.url).read_bytes() == GOOD


def test_the_newest_in_place_of_a_commit_that_the_registry_has_verified(tmp_path: Path, hub: Hub) -> None:
    verified = replace(SPEC.weights, revision=hub.commit(REPO), sha256=sha256(GOOD), size=len(GOOD))
    spec = replace(SPEC, weights=verified)
    pull(spec, tmp_path, endpoint=hub.url)
    hub.publish(REPO, NEWER)
    assert pull(spec, tmp_path, replace=True, endpoint=hub.url).read_bytes() == NEWER


def test_an_import_that_was_cut_short_is_made_good(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(SPEC, tmp_path, endpoint=hub.url)
    hub.publish(REPO, NEWER)
    write, written = weights._write, list[Path]()

    def once(path: Path, data: bytes) -> None:
        if written:
            raise OSError("killed")
        written.append(path)
        write(path, data)

    monkeypatch.setattr(weights, "_write", once)
    with pytest.raises(OSError, match="killed"):
        pull(SPEC, tmp_path, replace=True, endpoint=hub.url)
    monkeypatch.setattr(weights, "_write", write)
    pull(SPEC, tmp_path, endpoint=hub.url)
    assert weights.verify(SPEC, tmp_path) == sha256(GOOD)
