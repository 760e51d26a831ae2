"""The model card that every trained network comes with."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import torch

from model.files import Pin
from model.training.run import Run

__all__ = ["card"]


def _exported(run: Run) -> str:
    if run.best:
        return "the best by validation"
    blended = ", ".join(f"{share:g} of step {step:,}'s" for step, share in run.recipe.snapshots.items())
    return f"the last weights, blended with {blended}" if blended else "the last weights"


def card(run: Run, data: Sequence[str], pin: Pin) -> str:
    """Markdown. data: what was trained on, a line each. pin: of the exported file."""
    recipe, spec = run.recipe, run.spec
    parameters = sum(parameter.numel() for parameter in run.network.parameters())
    step_size = recipe.batch * recipe.accumulate * run.team.size
    rows = {
        "network": f"`{spec.name}`, {parameters / 1e6:.1f} M parameters; {spec.paper}",
        "weights": f"`{spec.weights.file}`, {pin.size:,} bytes, sha256 `{pin.sha256}`",
        "input": f"{spec.size[1]} x {spec.size[0]} px, sRGB, the whole picture squeezed to it",
        "output": "one soft matte; no classes, no confidence",
        "begun from": f"`{recipe.start}`",
        "steps": f"{run.step:,} of {step_size} pictures",
        "exported": _exported(run),
        "computed in": f"{str(run.half or torch.float32).removeprefix('torch.')} on {run.team.device.type}, "
        f"torch {torch.__version__}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    judgement = "None of its own: `objectcut evaluate` measures it."
    if run.best:
        judgement = (
            f"On the pictures held out, at the network's resolution: soft IoU {run.best.iou:.4f}, mean "
            f"absolute error {run.best.mae:.4f}. The best weights were chosen by these very pictures: "
            "measure the result on others with `objectcut evaluate`."
        )
    trained_on = "\n".join(f"- {line}" for line in data)
    return f"""# Model card: `{spec.name}`, trained with objectcut

| | |
|---|---|
{table}

## Trained on

{trained_on}

Whether these weights may be used, and for what, depends on the licences of these pictures and of the weights
that the training began from ({spec.licence} for the network's code): whoever publishes them states it here.

## Figures

{judgement}

## Use

    objectcut models import {spec.name} {spec.weights.file}

## Recipe

```json
{json.dumps(asdict(recipe), indent=2)}
```
"""
