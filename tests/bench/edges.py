"""What edge refinement and decontamination are worth: `python -m tests.bench.edges`."""

import numpy as np

from postprocess.alpha import enlarge
from postprocess.edges import refine
from postprocess.foreground import decontaminate
from tests.bench.report import Verdict, at_most, conclude, say, table
from tests.postprocess.drawn import Scene, as_predicted, scenes
from tests.postprocess.measures import boundary_iou, gradient_error, sad

LEFT = 0.75
"""The part of what enlargement leaves wrong that may be left after refinement, on average over the scenes."""


MEASURES = {
    "SAD, thousands": sad,
    "gradient error, tens": gradient_error,
    "boundary IoU": boundary_iou,
}


def main(height: int = 900, width: int = 1200) -> None:
    """Prints, scene by scene: cubic enlargement against refinement, and colours before and after."""
    rows = {scene.name: measure(scene) for scene in scenes(height, width)}
    mean = [(float(before), float(after)) for before, after in np.mean([*rows.values()], axis=0)]
    what = (*MEASURES, "colour error")
    say(
        table(
            ("scene", *what),
            [
                (name, *(f"{before:.2f} -> {after:.2f}" for before, after in row))
                for name, row in (*rows.items(), ("mean", mean))
            ],
        )
    )
    conclude([better(name, *figures) for name, figures in zip(what, mean, strict=True)])


def measure(scene: Scene) -> list[tuple[float, float]]:
    """(before, after) of each of MEASURES, then of the colours, 0 to 255, where they are mixed."""
    matte = as_predicted(scene.alpha)
    height, width = scene.alpha.shape
    cubic, refined = enlarge(matte, (width, height)), refine(matte, scene.rgb)
    mixed = (scene.alpha > 0.02) & (scene.alpha < 0.98)
    observed, clean = (
        float((np.abs(rgb - scene.foreground).mean(-1) * scene.alpha)[mixed].mean())
        for rgb in (scene.rgb, decontaminate(scene.rgb, scene.alpha))
    )
    pairs = [(how(cubic, scene.alpha), how(refined, scene.alpha)) for how in MEASURES.values()]
    return [*pairs, (observed, clean)]


def better(what: str, before: float, after: float) -> Verdict:
    """Refinement must mend at least a quarter of what enlargement leaves wrong."""
    if what == "boundary IoU":
        before, after = 1 - before, 1 - after
        what = "what boundary IoU lacks of 1"
    return at_most(f"{what}, mean, share that is left", after / before, LEFT)


if __name__ == "__main__":
    main()
