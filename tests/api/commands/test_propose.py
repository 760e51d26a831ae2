"""objectcut propose: masks that the next training reads, or a line that says what is amiss."""

from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tests.model.training.conftest import disc, write_pack


@pytest.fixture
def data(tmp_path: Path) -> Path:
    discs = {f"images/u{i}.png": bytes(cv2.imencode(".png", disc(20 + i)[0])[1]) for i in range(3)}
    write_pack(tmp_path, "unlabelled-discs", discs, zipped=True)
    return tmp_path


def propose(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["propose", *map(str, arguments)])


def test_masks_are_written_and_counted(data: Path) -> None:
    result = propose("unlabelled-discs", "--data", data, "--out", data / "masks-new", "--device", "cpu")
    assert result.exit_code == 0, result.output
    kept = len(list((data / "masks-new/unlabelled-discs").glob("*.png")))
    assert f"masks-new: {kept} masks for 3 pictures" in result.stdout
    assert len((data / "masks-new/index.csv").read_text().splitlines()) == 1 + kept


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["unlabelled-nowhere"], "the pack unlabelled-nowhere", id="no pack"),
        pytest.param(
            ["unlabelled-discs", "--known", "masks-nowhere"], "the pack masks-nowhere", id="no masks"
        ),
        pytest.param(["unlabelled-discs", "--model", "u2net"], "no square model", id="no model"),
        pytest.param(["unlabelled-discs", "--model", "birefnet-lite-2k"], "no square model", id="not square"),
    ],
)
def test_what_stops_it(data: Path, arguments: list[str], says: str) -> None:
    result = propose(*arguments, "--data", data, "--out", data / "masks-new")
    assert result.exit_code == 1, result.output
    assert says in " ".join(result.stderr.split())
