"""What the workers of a run tell each other. It lives in a process of its own, beside the run's."""

from collections import Counter, OrderedDict
from collections.abc import Sequence

__all__ = ["Board"]


class Board:
    """Which results there are, and which blocks were begun.

    most: results; of more the ones asked for longest ago are forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._outputs = OrderedDict[str, str]()
        self._begun = Counter[tuple[int, int]]()

    def begin(self, most: int, first: int) -> int:
        """How often the block with this first row, of blocks of at most so many, has been begun by now."""
        self._begun[most, first] += 1
        return self._begun[most, first]

    def find(self, key: str) -> str | None:
        """The result with that key."""
        if key in self._outputs:
            self._outputs.move_to_end(key)
        return self._outputs.get(key)

    def add(self, keys: Sequence[str], outputs: Sequence[str]) -> None:
        """These results are there."""
        self._outputs.update(zip(keys, outputs, strict=True))
        while len(self._outputs) > self._most:
            self._outputs.popitem(last=False)
