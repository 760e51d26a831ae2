"""remove-bg-cli, remove.bg's own command for Node: every field is sent, empty when it was not given."""

from pathlib import Path

import pytest

from tests.api.routes.removebg.sent import read, unzipped
from tests.clients.conftest import Service, run_node_cli

pytestmark = pytest.mark.clients


def test_png_by_way_of_zip(service: Service, folder: Path) -> None:
    """The default: color.jpg and alpha.png are put together by the client."""
    done = run_node_cli(service, folder, "photo.jpg", key=service.rich)
    image = read((folder / "photo-removebg.png").read_bytes())
    assert done.returncode == 0, done.stderr
    assert image.shape == (360, 480, 4)
    assert (image[180, 240, 3], image[0, 0, 3]) == (255, 0)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        pytest.param(["--skip-png-format-optimization"], "photo-removebg.png", id="png"),
        pytest.param(["--format", "jpg"], "photo-removebg.jpg", id="jpg"),
    ],
)
def test_as_it_comes(service: Service, folder: Path, arguments: list[str], name: str) -> None:
    done = run_node_cli(service, folder, "photo.jpg", *arguments, "--size", "preview", key=service.rich)
    assert done.returncode == 0, done.stderr
    assert read((folder / name).read_bytes()).shape[:2] == (360, 480)


def test_zip(service: Service, folder: Path) -> None:
    run_node_cli(service, folder, "photo.jpg", "--format", "zip", key=service.rich)
    unzipped((folder / "photo-removebg.zip").read_bytes())


def test_options_and_a_background(service: Service, folder: Path) -> None:
    (folder / "sky.png").write_bytes((folder / "photo.jpg").read_bytes())
    options = [
        "--bg-image-file",
        "sky.png",
        "--channels",
        "rgba",
        "--type",
        "person",
        "--output-directory",
        "out",
    ]
    extra = ["--extra-api-option", "crop=true", "--extra-api-option", "crop_margin=5%"]
    run_node_cli(service, folder, "photo.jpg", *options, *extra, key=service.rich)
    image = read((folder / "out" / "photo.png").read_bytes())
    assert image.shape[0] < 360
    assert image.shape[2] == 3 or image[..., 3].min() == 255


def test_failures_leave_no_file(service: Service, folder: Path) -> None:
    """What it says it draws with its progress bars, on terminals only."""
    done = run_node_cli(service, folder, "photo.jpg", key="wrong")
    assert "TypeError" not in done.stdout + done.stderr
    assert [path.name for path in folder.iterdir()] == ["photo.jpg"]
