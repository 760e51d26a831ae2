"""The network as training sees it: normalisation before it, an auxiliary head of classes beside it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.nets.birefnet.birefnet import BiRefNet, BiRefNetOutput
from model.preprocess import whitened
from model.registry import ModelSpec
from model.training.objectives import Outputs

__all__ = ["Learner", "finest", "optimizer_of"]


class Learner(nn.Module):
    """network: of `spec`, in training mode. classes: outputs of the head, 0 for none.

    forward: pictures (B, 3, H, W) in [0, 1] -> its outputs, float32, and the classes' scores (B, classes) or
    None. Raises ValueError for classes of a network that has no such head.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec, classes: int = 0) -> None:
        super().__init__()
        self.network, self.own_white = network, spec.own_white
        self.head: nn.Linear | None = None
        if classes:
            if not isinstance(network, BiRefNet):
                raise ValueError(f"{spec.name} has no head of classes")
            self.head = nn.Linear(2 * network.bb.channels[-1], classes)
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Outputs, Tensor | None]:
        outputs = self.network(self.normalised(pictures))
        if isinstance(outputs, BiRefNetOutput):
            scores = self.head(outputs.deepest.mean((2, 3))).float() if self.head else None
            return _widened(outputs), scores
        return [output.float() for output in outputs], None

    def normalised(self, pictures: Tensor) -> Tensor:
        """As the network wants them, (B, 3, H, W)."""
        if self.own_white:
            pictures = whitened(pictures, 1)
        return ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def _widened(output: BiRefNetOutput) -> BiRefNetOutput:
    def widened(maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(each.float() for each in maps)

    return BiRefNetOutput(
        final=output.final.float(),
        sides=widened(output.sides),
        gradients=widened(output.gradients),
        gradient_targets=widened(output.gradient_targets),
        deepest=output.deepest,
    )


def finest(outputs: Outputs) -> Tensor:
    """The map that counts, (B, 1, H, W) logits."""
    return outputs.final if isinstance(outputs, BiRefNetOutput) else outputs[0]


def optimizer_of(
    learner: Learner, encoder: tuple[str, ...], kind: str, rates: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """Adam or AdamW. encoder: what its parameters' names start with. rates: of it, and of the rest, each the
    `peak` of its group. Lists, not sets: a resumed run must meet the parameters in the same order."""
    named = list(learner.network.named_parameters())
    groups = [
        {"params": [p for name, p in named if not name.startswith(encoder)], "peak": rates[1]},
        {"params": [p for name, p in named if name.startswith(encoder)], "peak": rates[0]},
    ]
    if learner.head is not None:
        groups[0]["params"] += list(learner.head.parameters())  # type: ignore[operator]
    chosen = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
    return chosen(groups, lr=rates[1], weight_decay=weight_decay)
