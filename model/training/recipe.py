"""A training recipe: all that decides what comes out, in one record that travels with the checkpoint."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training at one input side, px. decay: the learning rate falls linearly to 0 over it."""

    side: int
    steps: int
    decay: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """What `objectcut train` follows. Deterministic given its seed on one kind of device.

    pairs: sampling weight per pack of pictures with mattes. foregrounds, backgrounds: likewise for the packs
    of cutouts and scenes that are composited. A weight of 0, or a pack that is not in the data folder and not
    `required`, leaves a pack out, so that anybody can retrain on the packs whose licences suit them.
    """

    phases: tuple[Phase, ...]
    pairs: dict[str, float]
    foregrounds: dict[str, float]
    backgrounds: dict[str, float]
    validation: tuple[str, ...]
    """Packs whose `val` pictures judge the network: those whose mattes no network proposed."""
    composites: float = 0.4
    """Share of composited pictures in a batch."""
    pair_cutouts: float = 0.5
    """Share of composites whose foreground is a pair's own cutout rather than one of `foregrounds`."""
    batch: int = 16
    learning_rate: float = 1.5e-3
    encoder_learning_rate: float = 2e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    ema_decay: float = 0.998
    snapshots: dict[int, float] = field(default_factory=dict)
    """Step -> share that the averaged weights of that step have in the result; the last step's have the rest
    (weights averaged along one run generalise better than its end: Izmailov et al., 2018)."""
    seed: int = 1
    store_side: int = 320
    """Side, px, at which pictures are kept in memory."""
    excluded: tuple[str, ...] = field(default=("Faces__",))
    """Prefixes of picture names that are left out: this class of Caltech-101 has mattes of heads only."""


LITE = Recipe(
    # Two cycles: the second one starts from the first one's result, at the full learning rate again.
    phases=(
        Phase(side=224, steps=2100),
        Phase(side=320, steps=700, decay=True),
        Phase(side=256, steps=1800),
        Phase(side=320, steps=900, decay=True),
    ),
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
    validation=(
        "pairs-clothing",
        "pairs-cats",
        "pairs-people",
        "pairs-pedestrians",
        "pairs-cars",
        "pairs-leaves",
        "masks-grabcut-caltech101",
        "masks-grabcut-imagenet",
    ),
    snapshots={4500: 0.25},
    foregrounds={"foregrounds-emoji3d": 0.6, "foregrounds-people": 0.8, "foregrounds-grocery": 0.3},
    backgrounds={
        "backgrounds-places": 1.0,
        "backgrounds-shelves": 0.5,
        "backgrounds-wallpapers": 0.7,
        "backgrounds-caltech": 0.6,
    },
)

RECIPES = {"lite": LITE}
