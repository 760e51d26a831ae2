"""Our own small network, from the packs of docs/models/lite.md: a teacher, its student, and a polish."""

from dataclasses import replace

from model.training.recipe import Packs, Phase, Recipe, Synthesis

__all__ = ["LITE", "LITE_POLISH", "LITE_TEACHER", "VALIDATION"]

VALIDATION = (
    "pairs-clothing",
    "pairs-cats",
    "pairs-people",
    "pairs-pedestrians",
    "pairs-cars",
    "pairs-leaves",
    "masks-chosen/unlabelled-caltech101",
    "masks-chosen/unlabelled-imagenet",
)
"""Packs whose `val` pictures judge the network: those whose mattes somebody has looked at."""

_PACKS = Packs(
    pairs={
        # Chosen by eye, and first, so that theirs is the mask of a picture that others have, too.
        "masks-chosen/unlabelled-imagenet": 2.8,
        "masks-chosen/unlabelled-caltech101": 3.4,
        "masks-chosen/backgrounds-caltech": 0.7,
        "masks-chosen/backgrounds-wallpapers": 0.3,
        "masks-chosen/pairs-people": 0.1,
        "masks-chosen/pairs-clothing": 0.1,
        "masks-chosen/pairs-cats": 0.15,
        "masks-chosen/pairs-cars": 0.02,
        "masks-chosen/pairs-pedestrians": 0.15,
        "masks-unlabelled/unlabelled-imagenet": 1.3,
        "masks-unlabelled/unlabelled-caltech101": 1.6,
        "masks-grabcut-imagenet": 0.06,
        "masks-grabcut-caltech101": 0.1,
        "pairs-people": 1.2,
        "pairs-clothing": 0.8,
        "pairs-cats": 1.0,
        "pairs-cars": 0.4,
        "pairs-pedestrians": 0.5,
        "pairs-leaves": 0.15,
    },
    validation=VALIDATION,
    pair_cutouts=0.65,
    foregrounds={"foregrounds-emoji3d": 0.6, "foregrounds-people": 0.8, "foregrounds-grocery": 0.3},
    backgrounds={
        "backgrounds-places": 1.0,
        "backgrounds-shelves": 0.4,
        "backgrounds-wallpapers": 0.8,
        "backgrounds-caltech": 0.2,
        "unlabelled-imagenet": 0.4,  # what of it has no mask and is not unused: no subject
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

_STUDENTS = replace(
    _PACKS,
    composites=0.3,
    synthesis=Synthesis(ambience=0.3, side_light=0.25, soft_subject=0.1, occlusion=0.1, jpeg=0.3),
)

LITE = replace(
    LITE_TEACHER,
    # The weights that ship: one round more. With --start the teacher's result, or an earlier student's.
    start="lite",
    phases=(Phase(side=256, steps=2300), Phase(side=320, steps=1600, decay=True)),
    data=_STUDENTS,
    learning_rate=1.2e-3,
    encoder_learning_rate=3e-4,
    snapshots={0: 0.55},
    seed=11,
)

LITE_POLISH = replace(
    LITE,
    # With --start the student's result.
    start="lite",
    # At a quarter of the rates: what a blend of two rounds needs is to be made one again. And of pictures
    # that are nearly whole, as those are that the service sees.
    phases=(Phase(side=320, steps=200, decay=True),),
    data=replace(_STUDENTS, least_view=0.85),
    learning_rate=3e-4,
    encoder_learning_rate=7e-5,
    warmup_steps=10,
    snapshots={0: 0.5},
)
