"""Three times what the service can do: `make load`.

First its peak: as many cutouts a second as waiting clients get. Then three times as many requests, sent
whether or not they are answered. What cannot be served must be told so at once, and must not cost those who
are served. Last the peak again: the goodput is held against the mean of both, as a machine that others share
is not equally fast from one minute to the next.
Bars: goodput of 90 % of the peak, both by the cores that are left to the service, as the sender sits on the
same ones and sends three times as much; 99 % of the refusals within 50 ms, no 5xx and no lost connection, and
answers as quick as before within 5 s of the end.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Verdict, at_least, at_most, conclude, progress, say, table
from tests.bench.service import started
from tests.load.pictures import mixture
from tests.load.sender import Answer, Sender

TIMES = 3.0
GOODPUT, SHED_MS, RECOVERY_SECONDS = 0.90, 50.0, 5.0
WARM_SECONDS, PEAK_SECONDS, RAMP_SECONDS = 8.0, 20.0, 5.0
CLIENTS = 8
PROBES, PAUSE, AS_BEFORE = 30, 0.3, 2.0
"""Lone requests after the burst, seconds between them, and how many times its usual time one may take."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Cutouts per second that waiting clients get. own_cores: what sending took of the machine."""

    rate: float
    own_cores: float


@dataclass(frozen=True, slots=True)
class Burst:
    """What was offered, and what became of it. start: of the counting, when the queues had filled."""

    offered: float
    start: float
    end: float
    answers: Sequence[Answer]
    own_cores: float = 0.0

    @property
    def goodput(self) -> float:
        """Cutouts per second."""
        within = [answer for answer in self.answers if answer.good and self.start <= answer.ended < self.end]
        return len(within) / (self.end - self.start)

    @property
    def accepted(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.good]

    @property
    def shed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.shed]

    @property
    def bad(self) -> list[Answer]:
        """Neither served nor told politely: 5xx, lost connections."""
        return [answer for answer in self.answers if not (answer.good or answer.shed)]


def main() -> None:
    """Prints the table and the verdicts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0, help="of overload, at most 300")
    seconds = min(options.parse_args().seconds, 300.0)
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as (_, origin):
        peaks, burst, alone, after = asyncio.run(overload(int(origin.rpartition(":")[2]), seconds))
    rows = [("accepted", burst.accepted), ("shed", burst.shed), ("5xx or lost", burst.bad)]
    peak = statistics.mean(peak.rate for peak in peaks)
    sending = statistics.mean(peak.own_cores for peak in peaks)
    say(
        f"Peak {peak:.1f} images/s with {CLIENTS} clients, before and after; offered {burst.offered:.1f} "
        f"requests/s for {seconds:.0f} s; goodput {burst.goodput:.1f} images/s, {burst.goodput / peak:.2f} "
        f"of the peak. Sending took {sending:.3f} cores at the peak, {burst.own_cores:.3f} then.\n"
    )
    say(table(("answers", "count", "p50 ms", "p95 ms", "p99 ms"), [_row(*row) for row in rows]))
    cores = len(os.sched_getaffinity(0))
    conclude(verdicts(share(peaks, burst, cores), burst, recovery(alone, after, burst.end)))


async def overload(port: int, seconds: float) -> tuple[list[Peak], Burst, float, list[Answer]]:
    """Peaks before and after; the burst; the usual time of a lone request, s; lone ones after the burst."""
    sender = Sender(port, mixture())
    await sender.closed_loop(CLIENTS, WARM_SECONDS)
    alone = statistics.median([(await sender.send()).seconds for _ in range(20)])
    before = await _peak(sender)
    began = time.monotonic()
    start, end = began + RAMP_SECONDS, began + seconds
    offered = TIMES * before.rate
    sending = asyncio.create_task(sender.open_loop(offered, seconds))
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    own = time.process_time()
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    own_cores = (time.process_time() - own) / (end - start)
    after = []
    for _ in range(PROBES):
        after.append(await sender.send())
        await asyncio.sleep(PAUSE)
    burst = Burst(offered, start, end, await sending, own_cores)
    return [before, await _peak(sender)], burst, alone, after


async def _peak(sender: Sender) -> Peak:
    began, own = time.monotonic(), time.process_time()
    whole = [answer for answer in await sender.closed_loop(CLIENTS, PEAK_SECONDS) if answer.good]
    seconds = time.monotonic() - began
    peak = Peak(len(whole) / seconds, (time.process_time() - own) / seconds)
    progress(f"peak: {peak.rate:.1f} images/s")
    return peak


def share(peaks: Sequence[Peak], burst: Burst, cores: int) -> float:
    """Of the mean peak that the goodput is, each for a core that was the service's."""
    peak = statistics.mean(peak.rate / (cores - peak.own_cores) for peak in peaks)
    return burst.goodput / (cores - burst.own_cores) / peak


def recovery(alone: float, after: Sequence[Answer], end: float) -> float:
    """Seconds from the end until every answer was good and as quick as before; infinite if none was."""
    late = [index for index, each in enumerate(after) if not each.good or each.seconds > AS_BEFORE * alone]
    first = late[-1] + 1 if late else 0
    return after[first].began - end if first < len(after) else float("inf")


def verdicts(kept: float, burst: Burst, recovered: float) -> list[Verdict]:
    """kept: share of the peak. recovered: seconds."""
    shed = percentile(burst.shed, 0.99)
    return [
        at_least(f"goodput at {TIMES:.0f} times the peak, share of the peak by cores left", kept, GOODPUT),
        at_most("refusals, p99 ms", shed, SHED_MS, "{:.1f}"),
        at_most("5xx or lost", len(burst.bad), 0, "{:.0f}"),
        at_most("seconds until answers were as before", recovered, RECOVERY_SECONDS, "{:.1f}"),
    ]


def percentile(answers: Sequence[Answer], share: float) -> float:
    """ms within which that share of them came; NaN of none."""
    times = sorted(answer.seconds for answer in answers)
    return 1000 * times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")


def _row(name: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    return (name, str(len(answers)), *(f"{percentile(answers, share):.1f}" for share in (0.5, 0.95, 0.99)))


if __name__ == "__main__":
    main()
