"""A training recipe: all that decides what comes out, in one record that travels with the checkpoint."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from model.training.objectives import ObjectiveName

__all__ = ["Folders", "Packs", "Phase", "Precision", "Recipe", "Synthesis"]

_STRIDE = 32

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training at one input side, px: so many steps, or so many epochs of the pictures.

    decay: the learning rate falls linearly to 0 over it. objective: see model/training/objectives.py.
    """

    side: int
    steps: int = 0
    epochs: int = 0
    decay: bool = False
    objective: ObjectiveName = "paper"


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How cutouts become scenes: shares of the composited pictures that each effect comes to, 0 to 1.

    subjects: chance of a first, a second, … subject. defocus: the scene behind is blurred; soft_subject: so
    is the subject, its matte with it. shadow: it throws one. ambience: it takes over some of the scene's mean
    light and colour. side_light: it is lit from one side. occlusion: a part of the scene stands before it.
    empty: there is no subject at all. jpeg: coarse JPEG compression.
    """

    subjects: tuple[float, ...] = (1.0, 0.33)
    defocus: float = 0.3
    shadow: float = 0.33
    ambience: float = 0.0
    side_light: float = 0.0
    soft_subject: float = 0.0
    occlusion: float = 0.0
    empty: float = 0.0
    jpeg: float = 0.0


@dataclass(frozen=True, slots=True)
class Packs:
    """Packs of model/training/packs.py: pictures small enough to lie in the device's memory.

    pairs: sampling weight per pack of pictures with mattes. foregrounds, backgrounds: likewise for the packs
    of cutouts and scenes that are composited. Every pack named must be there: leave out those whose licences
    do not suit you.
    """

    pairs: dict[str, float]
    foregrounds: dict[str, float]
    backgrounds: dict[str, float]
    validation: tuple[str, ...]
    """Packs whose `val` pictures judge the network; none of them is ever trained on."""
    composites: float = 0.4
    """Share of composited pictures in a batch."""
    pair_cutouts: float = 0.5
    """Share of composites whose foreground is a pair's own cutout rather than one of `foregrounds`."""
    synthesis: Synthesis = field(default_factory=Synthesis)
    least_view: float = 0.55
    """Of a pair's height and width, how much a view shows at least, but for a stretch of a fifth at most."""
    store_side: int = 320
    """Side, px, at which pictures are kept in memory."""
    left_out: tuple[str, ...] = ()
    """Packs of pairs that `without` took away: their pictures have subjects and make no scenes."""

    def without(self, names: Sequence[str]) -> "Packs":
        """Less these packs, and less the masks for them, of whatever kind; they still judge the network.

        For one's own choice of licences, and to learn how a network does on a source that it has not seen.
        Raises ValueError for a name that no pack has, and where nothing would be left.
        """

        def kept(weights: dict[str, float]) -> dict[str, float]:
            return {name: weight for name, weight in weights.items() if not set(name.split("/")) & set(names)}

        every = {part for packs in self._kinds() for name in packs for part in name.split("/")}
        if unknown := sorted(set(names) - every):
            raise ValueError(f"no pack of the recipe is called {unknown[0]}")
        pairs, foregrounds, backgrounds = map(kept, self._kinds())
        if not pairs or not foregrounds or not backgrounds:
            raise ValueError("pairs, foregrounds and backgrounds are wanted: too much was left out")
        left_out = (*self.left_out, *(name for name in self.pairs if name not in pairs))
        return replace(self, pairs=pairs, foregrounds=foregrounds, backgrounds=backgrounds, left_out=left_out)

    def _kinds(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        return self.pairs, self.foregrounds, self.backgrounds


@dataclass(frozen=True, slots=True)
class Folders:
    """Data sets as folders, of any size: see model/training/layouts.py.

    train, validation: data sets, as NAME/SPLIT. load_side: px; every picture is squeezed to this square.
    look: `flip` is a crop, where the phase's side is less, and a mirror image half of the time; `photo` adds
    zoom, turn, light, colour, blur and noise. composites: share of a batch whose subjects are set before the
    pictures of the data folder's `backgrounds`, if it has that.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    load_side: int
    look: Literal["flip", "photo"] = "flip"
    composites: float = 0.0
    synthesis: Synthesis = field(default_factory=Synthesis)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What `objectcut train` follows. Deterministic given its seed on one kind of device.

    network: a key of REGISTRY: what is trained, and what the service loads the result as.
    start: the file of the data folder that the encoder begins from, without its suffix; or a key of REGISTRY,
    for its weights; or `random`.
    """

    network: str
    start: str
    phases: tuple[Phase, ...]
    data: Packs | Folders
    batch: int = 16
    """Pictures of one process at a time; a step takes batch x accumulate x processes."""
    accumulate: int = 1
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = 1.5e-3
    encoder_learning_rate: float = 2e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    clip: float | None = 5.0
    """Largest norm of the gradient; None for any."""
    precision: Precision = "auto"
    """`auto` is bfloat16 where the device computes it, else float32."""
    ema_decay: float = 0.998
    """Of the moving average of the weights, which is judged and exported; 0 for the weights as such."""
    snapshots: dict[int, float] = field(default_factory=dict)
    """Step -> share that the averaged weights of that step have in the result; the last step's have the rest
    (weights averaged along one run generalise better than its end: Izmailov et al., 2018). Step 0 has those
    that the run began from (what fine-tuning forgets is so kept: Wortsman et al., 2022)."""
    classes: int = 0
    """Outputs of an auxiliary head of classes at the encoder's end, for data sets whose names tell them."""
    validate_every: int = 0
    """Steps. The best of the validated weights are exported; with 0 the last ones."""
    half_weights: bool = False
    """Export in float16."""
    seed: int = 1

    @property
    def steps(self) -> int:
        """Of all phases, once `scheduled`."""
        return sum(phase.steps for phase in self.phases)

    def scheduled(self, pictures: int, *, processes: int = 1, steps: int | None = None) -> "Recipe":
        """With steps in place of epochs, and `steps` in all where that is given, the phases in proportion.

        pictures: of an epoch. Raises ValueError for fewer steps than phases, for sides that no network takes,
        and for snapshots where validation chooses the result.
        """
        if self.snapshots and self.validate_every:
            raise ValueError("a result is the best by validation or a blend of snapshots, not both")
        sides = {phase.side for phase in self.phases}
        if isinstance(self.data, Folders):
            sides.add(self.data.load_side)
            if max(sides) > self.data.load_side:
                raise ValueError(
                    f"pictures are loaded at {self.data.load_side} px, a phase wants {max(sides)}"
                )
        if wrong := sorted(side for side in sides if side % _STRIDE):
            raise ValueError(f"sides are multiples of {_STRIDE} px, not {wrong[0]}")
        per_epoch = math.ceil(pictures / (self.batch * self.accumulate * processes))
        phases = [replace(p, steps=p.steps or p.epochs * per_epoch, epochs=0) for p in self.phases]
        if steps is not None:
            phases = _proportioned(phases, steps)
        # A shortened run never comes to the later snapshots.
        total = sum(phase.steps for phase in phases)
        snapshots = {step: share for step, share in self.snapshots.items() if step <= total}
        return replace(self, phases=tuple(phases), snapshots=snapshots)

    def at(self, step: int) -> tuple[Phase, float]:
        """The phase of a step, and its share of the peak learning rate: warm-up, plateau, linear decay."""
        rate = min(1.0, (step + 1) / max(1, self.warmup_steps))
        for phase in self.phases:
            if step < phase.steps:
                return phase, rate * (1 - step / phase.steps if phase.decay else 1.0)
            step -= phase.steps
        raise ValueError("the step lies after the last phase")


def _proportioned(phases: list[Phase], steps: int) -> list[Phase]:
    if steps < len(phases):
        raise ValueError(f"{len(phases)} phases want at least as many steps")
    total, ends, done = sum(phase.steps for phase in phases), list[int](), 0
    for index, phase in enumerate(phases, start=1):
        done += phase.steps
        last = steps - (len(phases) - index)
        ends.append(min(last, max(round(steps * done / total), (ends[-1] if ends else 0) + 1)))
    starts = [0, *ends[:-1]]
    return [replace(p, steps=end - start) for p, start, end in zip(phases, starts, ends, strict=True)]
