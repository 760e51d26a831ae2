"""What an Accept header asks for."""

import pytest

from api.routes.bodies import wanted_bytes


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        pytest.param("", (False, None), id="none"),
        pytest.param("*/*", (False, None), id="anything"),
        pytest.param("application/json", (False, None), id="JSON"),
        pytest.param("text/html", (False, None), id="nothing of ours"),
        pytest.param("image/*", (True, None), id="any image"),
        pytest.param("IMAGE/WEBP", (True, "webp"), id="a format"),
        pytest.param("application/zip", (True, "zip"), id="ZIP"),
        pytest.param("application/json;q=0.5, image/png", (True, "png"), id="by quality"),
        pytest.param("image/png;q=0.1, application/json", (False, None), id="JSON by quality"),
        pytest.param("image/avif,image/webp,image/*,*/*;q=0.8", (True, "avif"), id="a browser's img"),
        pytest.param("image/png;q=0", (False, None), id="refused"),
        pytest.param("image/png;q=x", (False, None), id="malformed quality"),
        pytest.param(",;,=", (False, None), id="noise"),
    ],
)
def test_accept(accept: str, wanted: tuple[bool, str | None]) -> None:
    assert wanted_bytes(accept) == wanted
