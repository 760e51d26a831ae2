"""How much of a cluster the workers take."""

import pytest

from api.bulk.run import Stop
from api.bulk.share import Share, Wanted, fitting

CPU4, CPU16, GPU2 = {"CPU": 4.0}, {"CPU": 16.0}, {"CPU": 32.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("machines", "wanted", "share"),
    [
        pytest.param([{"CPU": 2.0}], Wanted(), Share(1, 2, 0), id="a laptop"),
        pytest.param([CPU4, CPU16], Wanted(), Share(5, 4, 0), id="machines with CPUs"),
        pytest.param([CPU4, CPU16], Wanted(cpus=8), Share(2, 8, 0), id="larger workers"),
        pytest.param([GPU2, GPU2], Wanted(), Share(4, 4, 1), id="machines with GPUs"),
        pytest.param([GPU2], Wanted(gpus=0.5), Share(4, 4, 0.5), id="two workers a GPU"),
        pytest.param([GPU2], Wanted(gpus=0), Share(8, 4, 0), id="GPUs that are left alone"),
        pytest.param([CPU16, GPU2], Wanted(), Share(2, 4, 1), id="some with GPUs: those alone"),
        pytest.param([{"memory": 1.0}, CPU4], Wanted(), Share(1, 4, 0), id="a head that does no work"),
        pytest.param([CPU4], Wanted(workers=9), Share(9, 4, 0), id="a cluster that will grow"),
    ],
)
def test_workers(machines: list[dict[str, float]], wanted: Wanted, share: Share) -> None:
    assert fitting(machines, wanted) == share


@pytest.mark.parametrize(
    ("machines", "wanted", "says"),
    [
        pytest.param([{"memory": 1.0}], Wanted(), "no CPUs", id="no CPUs"),
        pytest.param([CPU4], Wanted(cpus=8), "8 CPUs", id="too few in one machine"),
        pytest.param([CPU4], Wanted(gpus=1), "1 GPUs", id="no GPU"),
    ],
)
def test_no_room(machines: list[dict[str, float]], wanted: Wanted, says: str) -> None:
    with pytest.raises(Stop, match=says):
        fitting(machines, wanted)
