"""What edge refinement and decontamination are worth: `python -m tests.bench.edges`."""

import numpy as np

from postprocess.alpha import enlarge
from postprocess.edges import refine
from postprocess.foreground import decontaminate
from tests.postprocess.drawn import as_predicted, scenes
from tests.postprocess.measures import boundary_iou, gradient_error, sad


def main(height: int = 900, width: int = 1200) -> None:
    """Prints, scene by scene: cubic enlargement against refinement, and colours before and after."""
    print(f"{'scene':20s} {'SAD':>15s} {'gradient':>15s} {'boundary IoU':>15s} {'colour error':>15s}")  # noqa: T201
    rows = []
    for scene in scenes(height, width):
        matte = as_predicted(scene.alpha)
        cubic, refined = enlarge(matte, (width, height)), refine(matte, scene.rgb)
        mixed = (scene.alpha > 0.02) & (scene.alpha < 0.98)
        colours = [
            float((np.abs(rgb - scene.foreground).mean(-1) * scene.alpha)[mixed].mean())
            for rgb in (scene.rgb, decontaminate(scene.rgb, scene.alpha))
        ]
        measures = (sad, gradient_error, boundary_iou)
        row = [measure(alpha, scene.alpha) for measure in measures for alpha in (cubic, refined)] + colours
        rows.append(row)
        _show(scene.name, row)
    _show("mean", list(np.mean(rows, axis=0)))


def _show(name: str, row: list[float]) -> None:
    cells = [f"{before:6.2f} -> {after:5.2f}" for before, after in zip(row[::2], row[1::2], strict=True)]
    print(f"{name:20s} " + " ".join(f"{cell:>15s}" for cell in cells))  # noqa: T201


if __name__ == "__main__":
    main()
