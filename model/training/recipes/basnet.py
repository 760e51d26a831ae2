"""BASNet on DUTS, as its authors trained it (Qin et al., 2021, section 4.1): without a validation set."""

from model.training.recipe import Folders, Phase, Recipe

__all__ = ["BASNET"]

BASNET = Recipe(
    network="basnet",
    start="resnet34",
    # Resized to 320 px, cropped to 288 at random, mirrored: 400,000 steps of eight pictures, to convergence.
    phases=(Phase(side=288, steps=400_000),),
    data=Folders(train=("DUTS/train",), validation=(), load_side=320),
    batch=8,
    optimizer="adam",
    learning_rate=1e-4,
    encoder_learning_rate=1e-4,
    weight_decay=0.0,
    warmup_steps=0,
    clip=None,
    ema_decay=0.0,
)
