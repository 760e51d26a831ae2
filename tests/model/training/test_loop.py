"""The loop as a process: killed at any step it continues identically; two processes learn together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.training.loop import train
from model.training.recipe import Recipe
from tests.model.training.conftest import drawn_folder

CPU = torch.device("cpu")
TINY = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from model.training.loop import train
from model.training.recipe import Folders, Phase
from model.training.recipes import recipe_of

data, out = map(Path, sys.argv[1:3])
torch.set_num_threads(1)
folders = Folders(train=("./train",), validation=("./val",), load_side=32, look="photo")
recipe = replace(
    recipe_of("finetune"), start="random", data=folders, phases=(Phase(32, steps=12),), batch=2
)
recipe = replace(recipe, validate_every=6)
train(recipe, data, out, device=torch.device("cpu"), checkpoint_every=2)
"""


def test_a_run_leaves_weights_a_card_and_a_log(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    path = train(recipe, data, out, device=CPU)
    assert path == out / "lite.safetensors"
    text = (out / "MODEL_CARD.md").read_text()
    assert "5 of 4 pictures" in text
    assert "the last weights, blended with 0.25 of step 1's" in text
    assert "- pairs-discs: 5 pictures" in text
    log = EventAccumulator(str(out)).Reload()
    assert [event.step for event in log.Scalars("loss")] == [5]
    assert len(log.Tags()["images"]) == 1


def tiny(data: Path, out: Path, *, processes: int = 1) -> subprocess.Popen[bytes]:
    script = out.parent / "tiny.py"
    script.write_text(TINY)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(script), str(data), str(out)]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.timeout(300)
def test_a_killed_run_continues_identically(tmp_path: Path) -> None:
    data, out = drawn_folder(tmp_path / "data", 6, 40), tmp_path / "killed"
    victim = tiny(data, out)
    until = time.monotonic() + 200
    while not (out / "checkpoint.pt").exists() and victim.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    step = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert step < 12, "killed in the midst of it"
    assert not (out / "lite.safetensors").exists()
    assert tiny(data, out).wait() == 0

    whole = tmp_path / "whole"
    assert tiny(data, whole).wait() == 0
    for file in ("lite.safetensors", "lite.golden.npy"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    for run in (whole, out):
        judged = EventAccumulator(str(run)).Reload().Scalars("validation/iou")
        assert [event.step for event in judged] == [0, 6, 12], run.name


@pytest.mark.timeout(300)
def test_two_processes_learn_together(tmp_path: Path) -> None:
    data, out = drawn_folder(tmp_path / "data", 6, 40), tmp_path / "pair"
    assert tiny(data, out, processes=2).wait() == 0
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["step"] == 12
    assert load_file(out / "lite.safetensors").keys() == state["average"].keys()
    assert "12 of 4 pictures" in (out / "MODEL_CARD.md").read_text()
    assert len(list(out.glob("events.out.tfevents.*"))) == 1, "one process talks"
