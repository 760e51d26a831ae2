"""POST /v1/cutouts: that each option reaches the picture."""

import io
import zipfile
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from tests.api.routes.sent import BYTES, FILE, PHOTO, pixels, web
from tests.fakes import FakeEngine
from tests.service import serving


class TestOptions:
    """That each reaches the picture; what it does there is tested with postprocess."""

    async def made(self, files: dict[str, Any] | None = None, **data: Any) -> httpx.Response:
        async with serving(fetcher=web()) as served:
            answer = await served.http.post(
                "/v1/cutouts", files=FILE | (files or {}), data=data, headers=BYTES
            )
            assert answer.status_code == 200, answer.text
            return answer

    async def test_output_alpha(self) -> None:
        assert pixels(await self.made(output="alpha")).shape == (64, 96)

    async def test_output_mask(self) -> None:
        assert set(pixels(await self.made(output="mask")).ravel().tolist()) == {0, 255}

    async def test_output_foreground(self) -> None:
        assert pixels(await self.made(output="foreground")).shape == (64, 96, 3)

    async def test_to_remove_foreground(self) -> None:
        alpha = pixels(await self.made(to_remove="foreground"))[..., 3]
        assert (alpha[32, 48], alpha[0, 0]) == (0, 255)

    async def test_crop_and_margin(self) -> None:
        tight = await self.made(crop="true")
        wide = await self.made(crop="true", crop_margin="3")
        left, top, width, height = map(int, tight.headers["x-cutout-bounding-box"].split(","))
        assert pixels(tight).shape == (height, width, 4)
        assert pixels(wide).shape == (height + 6, width + 6, 4)
        assert min(left, top) >= 3

    async def test_background_colour(self) -> None:
        answer = await self.made(background="#fff")
        assert answer.headers["content-type"] == "image/jpeg"
        assert pixels(answer)[2, 2].min() > 250

    async def test_background_half_transparent(self) -> None:
        answer = await self.made(background="#ff000080")
        assert pixels(answer)[2, 2].tolist() == [0, 0, 255, 128]

    async def test_background_blur(self) -> None:
        assert pixels(await self.made(background="blur", format="png")).shape == (64, 96, 3)

    async def test_background_image(self) -> None:
        blue = cv2.imencode(".png", np.full((9, 9, 4), (255, 0, 0, 255), np.uint8))[1].tobytes()
        answer = await self.made({"background_image": ("b.png", blue)}, format="png")
        assert pixels(answer)[2, 2].tolist() == [255, 0, 0]

    async def test_background_image_with_transparency_lies_over_white(self) -> None:
        clear = cv2.imencode(".png", np.zeros((9, 9, 4), np.uint8))[1].tobytes()
        answer = await self.made({"background_image": ("b.png", clear)}, format="png")
        assert pixels(answer)[2, 2].tolist() == [255, 255, 255]

    async def test_background_image_by_url(self) -> None:
        answer = await self.made(background_image_url="https://img.example/sky.png", format="png")
        assert pixels(answer).shape == (64, 96, 3)

    @pytest.mark.parametrize("edges", ["soft", "sharp", "objectcut"])
    async def test_edges_and_morphology(self, edges: str) -> None:
        answer = await self.made(edges=edges, morphology=["close", "keep_largest,fill_holes"], refine="no")
        assert pixels(answer)[32, 48, 3] == 255

    @pytest.mark.parametrize("format", ["png", "webp", "jpeg", "avif"])
    async def test_format(self, format: str) -> None:
        answer = await self.made(format=format, quality="100")
        assert answer.headers["content-type"] == f"image/{format}"

    async def test_format_zip(self) -> None:
        answer = await self.made(format="zip")
        assert answer.headers["content-type"] == "application/zip"
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert names == ["color.jpg", "alpha.png"]

    async def test_zip_over_a_picture_is_refused(self) -> None:
        async with serving() as served:
            answer = await served.http.post(
                "/v1/cutouts", files=FILE | {"background_image": ("b", PHOTO)}, data={"format": "zip"}
            )
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_options")

    async def test_a_source_s_own_transparency(self) -> None:
        clear = np.zeros((64, 96, 4), np.uint8)
        clear[:, :48, 3] = 255
        files = {"image": ("a.png", cv2.imencode(".png", clear)[1].tobytes())}
        kept = pixels(await self.made(files))[..., 3]
        ignored = pixels(await self.made(files, source_alpha="ignore"))[..., 3]
        assert (kept[32, 60], ignored[32, 60]) == (0, 255)


async def test_a_soft_edge_stays_soft() -> None:
    async with serving() as served:
        alpha = pixels(await served.http.post("/v1/cutouts", files=FILE, headers=BYTES))[..., 3]
        assert {0, 255} < set(alpha.ravel().tolist())


async def test_no_subject() -> None:
    async with serving(engine=FakeEngine(empty=True)) as served:
        whole = await served.http.post("/v1/cutouts", files=FILE)
        assert whole.json()["bounding_box"] is None
        assert (await served.http.get(whole.headers["location"])).json()["bounding_box"] is None
        cropped = await served.http.post("/v1/cutouts", files=FILE, data={"crop": "1"})
        assert (cropped.status_code, cropped.json()["code"]) == (422, "no_subject")


async def test_options_of_a_raw_body_stand_in_the_query() -> None:
    async with serving() as served:
        answer = await served.http.post(
            "/v1/cutouts?output=mask&morphology=open&morphology=close", content=PHOTO, headers=BYTES
        )
        assert set(pixels(answer).ravel().tolist()) == {0, 255}
