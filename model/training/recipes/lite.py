"""Our own small network, from the packs described in docs/models/lite.md: a teacher, then a student of it."""

from dataclasses import replace

from model.training.recipe import Packs, Phase, Recipe, Synthesis

__all__ = ["LITE", "LITE_TEACHER", "VALIDATION"]

VALIDATION = (
    "pairs-clothing",
    "pairs-cats",
    "pairs-people",
    "pairs-pedestrians",
    "pairs-cars",
    "pairs-leaves",
    "masks-grabcut-caltech101",
    "masks-grabcut-imagenet",
)
"""Packs whose `val` pictures judge the network: those whose mattes no network proposed."""

_PACKS = Packs(
    pairs={
        "masks-unlabelled/unlabelled-caltech101": 3.0,
        "masks-unlabelled/unlabelled-imagenet": 1.5,
        "masks-grabcut-caltech101": 0.6,
        "masks-grabcut-imagenet": 0.4,
        "pairs-people": 1.2,
        "pairs-clothing": 1.0,
        "pairs-cats": 1.0,
        "pairs-cars": 0.5,
        "pairs-pedestrians": 0.5,
        "pairs-leaves": 0.2,
    },
    validation=VALIDATION,
    foregrounds={"foregrounds-emoji3d": 0.6, "foregrounds-people": 0.8, "foregrounds-grocery": 0.3},
    backgrounds={
        "backgrounds-places": 1.0,
        "backgrounds-shelves": 0.5,
        "backgrounds-wallpapers": 0.7,
        "backgrounds-caltech": 0.6,
    },
)

LITE_TEACHER = Recipe(
    network="lite",
    start="efficientnet-lite2-9656183e",
    # Two cycles: the second one starts from the first one's result, at the full learning rate again.
    phases=(
        Phase(side=224, steps=2100),
        Phase(side=320, steps=700, decay=True),
        Phase(side=256, steps=1800),
        Phase(side=320, steps=900, decay=True),
    ),
    data=_PACKS,
    snapshots={4500: 0.25},
    half_weights=True,
)

LITE = replace(
    LITE_TEACHER,
    # The teacher's result, copied there, or with --start an earlier student's; `masks-proposed` is what
    # `objectcut propose` made with the same one.
    start="lite-teacher",
    phases=(Phase(side=256, steps=1000), Phase(side=320, steps=760, decay=True)),
    data=replace(
        _PACKS,
        pairs=_PACKS.pairs
        | {
            "masks-unlabelled/unlabelled-imagenet": 2.0,
            "masks-proposed/unlabelled-caltech101": 0.7,
            "masks-proposed/unlabelled-imagenet": 0.7,
        },
        synthesis=Synthesis(ambience=0.3, side_light=0.25, soft_subject=0.1, occlusion=0.1, jpeg=0.3),
    ),
    learning_rate=1.2e-3,
    snapshots={0: 0.3},
    seed=5,
)
