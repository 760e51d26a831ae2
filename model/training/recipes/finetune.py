"""Any network of the registry, some steps further, on a folder of one's own pictures and mattes."""

from model.registry import REGISTRY
from model.training.objectives import ObjectiveName
from model.training.recipe import Folders, Phase, Recipe, Synthesis

__all__ = ["RICH", "finetune"]

RICH = Synthesis(
    subjects=(1.0, 0.25),
    ambience=0.4,
    side_light=0.4,
    soft_subject=0.15,
    occlusion=0.1,
    empty=0.03,
    jpeg=0.3,
)
"""All that model/training/synthesis.py can do, in moderation."""
_OF_MATTES = ("birefnet-portrait", "birefnet-matting", "birefnet-hr-matting")
"""What was trained for soft mattes, and goes on so."""


def finetune(model: str) -> Recipe:
    """The recipe for a model of the registry, beginning from the weights it has.

    Raises ValueError for a model that is not there.
    """
    if model not in REGISTRY:
        raise ValueError(f"there is no model '{model}' to begin from; there are {', '.join(REGISTRY)}")
    side = max(REGISTRY[model].size)
    small = side <= 320
    objective: ObjectiveName = "matting" if model in _OF_MATTES else "paper"
    return Recipe(
        network=model,
        start=model,
        phases=(Phase(side=side, steps=1000, decay=True, objective=objective),),
        data=Folders(
            train=("./train",),
            validation=("./val",),
            load_side=side,
            look="photo",
            composites=0.4,
            synthesis=RICH,
        ),
        batch=8 if small else 2,
        learning_rate=2e-4 if small else 2e-5,
        encoder_learning_rate=5e-5 if small else 1e-5,
        warmup_steps=50,
        ema_decay=0.99,
        validate_every=100,
        half_weights=True,
    )
