"""Both clients against the service."""

import io
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

import objectcut_client as oc
from tests.clients_python.conftest import PAGE
from tests.clients_python.faces import Face, face
from tests.fakes import photo

PHOTO = photo()


@pytest.mark.parametrize("way", ["path", "text", "bytes", "file", "url", "url and background", "two urls"])
def test_every_way_to_give_a_picture(client: Face, tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PHOTO)
    images = {"path": path, "text": str(path), "bytes": PHOTO, "file": io.BytesIO(PHOTO)}
    backgrounds = {"url and background": photo(8, 8), "two urls": PAGE}
    behind = {"background_image": backgrounds[way]} if way in backgrounds else {}
    cutout = client("cut", images.get(way, PAGE), **behind)
    assert isinstance(cutout, oc.Cutout)
    assert (cutout.width, cutout.height, cutout.model) == (96, 64, "lite")
    assert cutout.format == ("jpeg" if behind else "png")
    assert cutout.bounding_box
    assert cutout.bounding_box.width > 0
    assert cutout.expires_at
    assert cutout.timings_ms
    content = client("download", cutout)
    assert len(content) == cutout.size
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.shape[:2] == (64, 96)


@pytest.mark.parametrize("image", [PHOTO, PAGE], ids=["bytes", "url"])
def test_options_arrive(client: Face, image: str | bytes) -> None:
    morphology = ["open", "keep_largest"]
    options = {"output": "alpha", "refine": False, "radius": 2, "format": "webp", "quality": 80}
    cut = client("cut_bytes", image, crop=True, crop_margin=3, morphology=morphology, **options)
    assert isinstance(cut, oc.CutoutFile)
    assert cut.media_type == "image/webp"
    assert cut.content[8:12] == b"WEBP"
    assert cut.width < 96
    assert cut.bounding_box


def test_bytes_are_png_or_zip_as_asked_for(client: Face) -> None:
    assert client("cut_bytes", PHOTO).content.startswith(b"\x89PNG")
    assert client("cut_bytes", PHOTO, format="zip").content.startswith(b"PK")


def test_a_stored_cutout_is_found_and_removed(client: Face) -> None:
    cutout = client("cut", PHOTO, quality=77, format="webp")
    assert client("find", cutout.id).size == cutout.size
    client("delete", cutout.id)
    for method in ("find", "delete"):
        with pytest.raises(oc.NotFound):
            client(method, cutout.id)
    with pytest.raises(oc.NotFound):
        client("download", cutout.url)


def test_facts_of_the_service(client: Face) -> None:
    (model,) = client("models")
    assert (model.name, model.available, model.resolutions) == ("lite", True, None)
    account = client("account")
    assert (account.id, account.credits_left, account.requests_left) == ("secret", None, None)


@pytest.mark.parametrize(
    ("image", "options", "kind", "code"),
    [
        pytest.param(b"GIF89a", {}, oc.ImageProblem, "unsupported_image", id="no picture"),
        pytest.param(PHOTO[:99], {}, oc.ImageProblem, "corrupt_image", id="half a picture"),
        pytest.param("https://img.example/gone", {}, oc.SourceProblem, "source_unreachable", id="no source"),
        pytest.param(PHOTO, {"radius": 99}, oc.BadRequest, "invalid_options", id="out of range"),
    ],
)
def test_failures_are_told_by_kind(
    client: Face, image: str | bytes, options: dict[str, int], kind: type[oc.ApiError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        client("cut", image, **options)
    assert caught.value.code == code
    assert caught.value.request_id


def test_a_file_that_is_not_there(client: Face, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client("cut", tmp_path / "nothing.jpg")


def test_a_wrong_key(service: str, kind: str) -> None:
    with face(kind, service, "wrong") as client, pytest.raises(oc.Unauthorized):
        client("models")


def test_the_key_goes_to_the_service_alone(kind: str) -> None:
    seen: list[httpx.Request] = []

    def bucket(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"x")

    with face(kind, "http://cut.example", "key", transport=httpx.MockTransport(bucket)) as client:
        client("download", "http://bucket.example/0.png?signature=x")
    assert "x-api-key" not in seen[0].headers
