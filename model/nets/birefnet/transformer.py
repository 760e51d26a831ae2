"""What the two transformer encoders, Swin and PVT v2, have in common."""

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drops a residual branch for whole samples while training (Huang et al., ECCV 2016); identity otherwise.

    What survives is scaled by 1 / (1 - rate), so that its expectation stays. Any shape, batch first.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        survives = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * survives / (1 - self.rate)


def rising_rates(highest: float, depths: tuple[int, ...]) -> list[list[float]]:
    """Drop rates of each stage's blocks, rising linearly from 0 at the first to `highest` at the last."""
    last = max(sum(depths) - 1, 1)
    return [
        [highest * (sum(depths[:stage]) + block) / last for block in range(depth)]
        for stage, depth in enumerate(depths)
    ]


def initialise(network: nn.Module) -> None:
    """Linear layers from a normal distribution of deviation 0.02, biases 0: both encoders' custom."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
