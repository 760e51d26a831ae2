"""What makes a network quicker must not make it another one."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.errors import OutOfMemory
from model.nets.birefnet.decoder import ReconstructionBlock
from model.optimise import batch_sizes, best_batch, compiled, fold_batch_norm
from model.registry import REGISTRY
from tests.fakes import FakeClock
from tests.model.toy import Toy, giving, pictures


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        pytest.param(1, (1,), id="one"),
        pytest.param(2, (1, 2), id="two"),
        pytest.param(6, (1, 2, 4, 6), id="between powers"),
        pytest.param(8, (1, 2, 4, 8), id="a power"),
        pytest.param(9, (1, 2, 4, 8, 9), id="after a power"),
    ],
)
def test_batch_sizes(most: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(most) == sizes


class Device:
    """A batch takes `fixed` seconds and `each` for every picture; the first one of a size, a minute more."""

    def __init__(self, fixed: float, each: float, fits: float = math.inf) -> None:
        self.clock = FakeClock()
        self.runs: list[int] = []
        self._fixed, self._each, self._fits = fixed, each, fits

    def run(self, size: int) -> None:
        if size > self._fits:
            raise OutOfMemory("CUDA out of memory")
        self.clock.now += self._fixed + self._each * size + (0 if size in self.runs else 60)
        self.runs.append(size)


@pytest.mark.parametrize(
    ("device", "most", "best"),
    [
        pytest.param(Device(1.0, 0.0), 32, 32, id="the larger the better"),
        pytest.param(Device(0.0, 1.0), 32, 1, id="no gain at all"),
        pytest.param(Device(0.04, 1.0), 32, 1, id="a gain of two per cent"),
        pytest.param(Device(0.5, 1.0), 32, 8, id="until it gains too little"),
        pytest.param(Device(1.0, 0.0), 6, 6, id="up to the limit"),
        pytest.param(Device(1.0, 0.0, fits=5), 32, 4, id="until the memory ends"),
        pytest.param(Device(1.0, 0.0, fits=1), 32, 1, id="memory for one"),
    ],
)
def test_best_batch(device: Device, most: int, best: int) -> None:
    assert best_batch(device.run, most, device.clock) == best


def test_where_one_is_all_there_is_nothing_to_measure() -> None:
    device = Device(1.0, 0.0)
    assert best_batch(device.run, 1, device.clock) == 1
    assert device.runs == [1]


@pytest.mark.parametrize("most", [1, 8])
def test_no_memory_for_one_picture_is_an_error(most: int) -> None:
    device = Device(1.0, 0.0, fits=0)
    with pytest.raises(OutOfMemory):
        best_batch(device.run, most, device.clock)


def test_compiling_keeps_the_function() -> None:
    net = Toy().eval()
    x = torch.from_numpy(pictures(2)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        torch.testing.assert_close(compiled(net, backend="eager")(x), net(x))


BUILDS = {spec.build: spec.name for spec in REGISTRY.values()}


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for build, name in BUILDS.items()])
def test_every_batch_norm_of_our_networks_is_folded(build: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        net = fold_batch_norm(build().eval())
    assert not [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]


class TwiceUsed(nn.Module):
    """One convolution before two different batch norms: nothing here may be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.one(self.conv(x)) + self.two(self.conv(x))
        return y


class Looked(nn.Module):
    """A convolution whose result is used beside its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z: Tensor = self.norm(y) + y
        return z


class First(nn.Module):
    """A batch norm on the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


class Wayward(nn.Module):
    """Its course depends on its data; that of one of its parts does not."""

    def __init__(self) -> None:
        super().__init__()
        self.straight, self.crooked = Toy(), giving(0.0)()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.straight(x) + self.crooked(x)
        return y if y.isfinite().all() else x


@pytest.mark.parametrize(
    ("net", "left"),
    [
        pytest.param(Toy, 0, id="all folded"),
        pytest.param(giving(0.0), 2, id="untraceable"),
        pytest.param(Wayward, 2, id="parts of what is untraceable"),
        pytest.param(lambda: ReconstructionBlock(3, 8), 0, id="deformable convolutions"),
        pytest.param(TwiceUsed, 2, id="convolution used twice"),
        pytest.param(Looked, 1, id="result used twice"),
        pytest.param(First, 1, id="no convolution"),
    ],
)
def test_folding_keeps_the_function(net: Callable[[], nn.Module], left: int) -> None:
    torch.manual_seed(2)
    original = net().eval()
    for name, buffer in original.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 2)
        elif name.endswith("running_mean"):
            nn.init.normal_(buffer)
    x = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        expected = original(x)
        folded = fold_batch_norm(original)
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == left
