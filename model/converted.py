"""What model.conversion leaves for model.openvino in a folder, and the process that has it made.

Conversion wants torch, which would stay in the memory of a service that has no further use for it: hundreds
of megabytes. So a process of its own converts, and ends.
"""

import json
import logging
import pickle
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelUnavailable
from model.files import find
from model.interpreter import command
from model.registry import ModelSpec

__all__ = ["Conversion", "elsewhere"]

_LOG = logging.getLogger(__name__)

_LONGEST = 600
"""Seconds that a conversion may take: the largest network takes one."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Beside the network's own files: sha256 of its weights; the half precisions that this CPU computes in;
    the alpha of the self-test's probe by torch in float32, (h, w)."""

    sha256: str
    halves: tuple[str, ...]
    reference: NDArray[np.float32]

    @staticmethod
    def model(folder: Path) -> Path:
        """The network's own file."""
        return folder / "model.xml"

    def write(self, folder: Path) -> None:
        """Everything but the network."""
        np.save(folder / "reference.npy", self.reference)
        (folder / "facts.json").write_text(json.dumps({"sha256": self.sha256, "halves": self.halves}))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` has written."""
        facts = json.loads((folder / "facts.json").read_text())
        return cls(facts["sha256"], tuple(facts["halves"]), np.load(folder / "reference.npy"))


def elsewhere(spec: ModelSpec, directory: Path, folder: Path) -> None:
    """model.conversion.convert in a process of its own. Raises ModelUnavailable."""
    find(spec, directory)  # before anything is started in vain
    try:
        task = pickle.dumps((spec, directory.absolute(), folder))
    except (pickle.PicklingError, AttributeError) as exc:
        raise ModelUnavailable(f"model '{spec.name}' is of this process alone: {exc}") from exc
    try:
        ended = subprocess.run(  # noqa: S603
            command("model.conversion"), input=task, capture_output=True, timeout=_LONGEST, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise ModelUnavailable(f"model '{spec.name}' is not converted for OpenVINO in time") from exc
    if ended.returncode == 0:
        return
    if said := ended.stdout.decode(errors="replace"):
        raise ModelUnavailable(said)
    _LOG.error(
        "the conversion of %s has failed: %s", spec.name, ended.stderr.decode(errors="replace")[-2000:]
    )
    raise ModelUnavailable(f"model '{spec.name}' cannot be converted for OpenVINO here")
