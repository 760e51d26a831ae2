"""What can go wrong between a fixed-size picture and its matte.

    ModelError
    ├── Overloaded          the queue is full; `retry_after` seconds
    ├── Draining            the engine is shutting down and takes no new work
    ├── DeadlineExceeded    the item waited too long; it never reached the device
    ├── InferenceFailed     this item, and only this one, cannot be computed
    ├── OutOfMemory         the device cannot hold even this one item
    ├── DeviceLost          a sticky device error: the process must be replaced
    └── ModelUnavailable    unknown to the registry, or its weights are missing or damaged

The HTTP meaning of each is api.errors' business; here they know nothing of it.
"""


class ModelError(Exception):
    """Root of the tree."""


class Overloaded(ModelError):
    """The queue is full. `retry_after`: seconds until a place is likely to be free."""

    def __init__(self, detail: str = "the queue is full", *, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Draining(ModelError):
    """Shutting down: work that was accepted is finished, new work is refused."""


class DeadlineExceeded(ModelError):
    """No time was left for a stage that still had to run."""


class InferenceFailed(ModelError):
    """The network raised, or gave NaN, a wrong shape or a wrong count, for this very item."""


class OutOfMemory(ModelError):
    """The device cannot hold a batch of one."""


class DeviceLost(ModelError):
    """The device context is poisoned (device-side assert, illegal access) until the process ends."""


class ModelUnavailable(ModelError):
    """The model is not in the registry, its weights are not here, damaged or of another network, or there is
    no room for it now. `retry_after`: seconds until that may have changed; None where a person must act.
    """

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
