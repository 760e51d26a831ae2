"""BiRefNet with Swin-L, task by task (Zheng et al., 2024, sections 3.6 and 4.3).

Pictures are resized to 1024 px and mirrored, no more. The authors trained on eight GPUs with four pictures
each: the same is `torchrun --nproc-per-node 8`, or `--accumulate 8` on one. In the last epochs IoU alone
judges the mattes. DIS5K alone has pictures that are meant for validation; the others' test sets choose no
weights here.
"""

from dataclasses import replace

from model.training.recipe import Folders, Phase, Recipe

__all__ = ["COD", "DIS", "GENERAL", "HRSOD", "MATTING"]

SIDE = 1024
REGION_EPOCHS = 20


def _phases(epochs: int) -> tuple[Phase, ...]:
    return (
        Phase(side=SIDE, epochs=epochs - REGION_EPOCHS),
        Phase(side=SIDE, epochs=REGION_EPOCHS, objective="region"),
    )


DIS = Recipe(
    network="birefnet-dis",
    start="swin_large_patch4_window12_384_22k",
    phases=_phases(600),
    data=Folders(train=("DIS5K/train",), validation=("DIS5K/val",), load_side=SIDE),
    batch=4,
    optimizer="adam",
    learning_rate=1e-4,
    encoder_learning_rate=1e-4,
    weight_decay=0.0,
    warmup_steps=0,
    clip=None,
    ema_decay=0.0,
    classes=219,
    validate_every=2000,
)

HRSOD = replace(
    DIS,
    network="birefnet-hrsod",
    phases=_phases(150),
    data=Folders(train=("DUTS/train", "HRSOD/train", "UHRSD/train"), validation=(), load_side=SIDE),
    learning_rate=1e-5,
    encoder_learning_rate=1e-5,
    classes=0,
    validate_every=0,
)

COD = replace(
    HRSOD,
    network="birefnet-cod",
    data=Folders(train=("CAMO/train", "COD10K/train"), validation=(), load_side=SIDE),
)

GENERAL = replace(
    HRSOD,
    network="birefnet-general",
    phases=_phases(200),
    data=Folders(
        train=("DIS5K/train", "DUTS/train", "HRSOD/train", "UHRSD/train", "P3M/train", "AM-2k/train"),
        validation=("DIS5K/val",),
        load_side=SIDE,
    ),
    optimizer="adamw",
    weight_decay=1e-2,
    validate_every=2000,
)

MATTING = replace(
    GENERAL,
    network="birefnet-matting",
    # No fine-tuning on regions: it drives mattes to 0 and 1.
    phases=(Phase(side=SIDE, epochs=150, objective="matting"),),
    data=Folders(train=("P3M/train", "AM-2k/train"), validation=(), load_side=SIDE),
    validate_every=0,
)
