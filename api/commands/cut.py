"""objectcut cut: the service's own pipeline over files."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from api.commands.configuration import load_settings
from api.commands.options import BackgroundImage, cutout_options, takes_cutout_options
from api.commands.photos import STANDARD_STREAM, Folder, Photo, Refused, StandardOutput, find_photos
from api.commands.terminal import progress, told, warn
from api.errors import ModelUnavailable, as_error
from api.options import CutoutOptions

if TYPE_CHECKING:
    from api.pipeline import Job, Outcome
    from model.deadline import Deadline
    from postprocess.types import Encoded

MOST_JOBS = 64
PATIENCE = 600.0
"""Seconds that one photo may take; a person at the terminal has Ctrl-C."""

DEFAULT_JOBS = min(os.cpu_count() or 1, MOST_JOBS)


class Remover(Protocol):
    """What `cut_photos` needs of a Pipeline."""

    async def remove_background(self, job: "Job", deadline: "Deadline") -> "Outcome": ...


class Sink(Protocol):
    """Where results go. Both raise Refused."""

    def check(self, photo: Photo, /) -> None: ...

    def write(self, photo: Photo, encoded: "Encoded", /) -> None: ...


@takes_cutout_options
def cut(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="Files and folders; - for standard input.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--directory",
            metavar="DIR",
            help="Where STEM.png of each photo goes; - for standard output, which is the default for -.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders below folders too, but for DIR.")
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(min=1, max=MOST_JOBS, help="Photos worked on at once.", show_default="one per core"),
    ] = DEFAULT_JOBS,
    background_image: BackgroundImage = None,
    **chosen: Any,
) -> None:
    """Cuts the subject out of photos."""
    options = cutout_options(chosen, background_image)
    found = find_photos(photos, recursive=recursive, directory=directory)
    if not found:
        raise typer.BadParameter("no photos there", param_hint="PHOTO...")
    failed = cut_into(
        _sink(directory, found),
        found,
        options,
        jobs=jobs,
        background_image=background_image.read_bytes() if background_image else None,
    )
    if failed:
        warn(f"{failed} of {len(found)} failed")
        raise typer.Exit(1)


def _sink(directory: Path | None, photos: Sequence[Photo]) -> Sink:
    if directory is None and [photo.path for photo in photos] == [STANDARD_STREAM]:
        directory = STANDARD_STREAM
    if directory is None:
        raise typer.BadParameter("say where the results go", param_hint="-o DIR")
    if directory != STANDARD_STREAM:
        return Folder(directory, photos)
    if len(photos) > 1:
        raise typer.BadParameter("standard output takes one photo's result", param_hint="-o -")
    return StandardOutput()


def cut_into(
    sink: Sink,
    photos: Sequence[Photo],
    options: CutoutOptions,
    *,
    jobs: int,
    background_image: bytes | None = None,
) -> int:
    """Cuts every photo with a pipeline of its own and a progress bar; the number that failed.

    Raises ModelUnavailable, before any photo is read but standard input.
    """
    from api.app import open_pipeline
    from api.engine import LocalEngine
    from model.registry import REGISTRY

    if options.model not in REGISTRY:
        raise typer.BadParameter(f"no such model; there are {', '.join(REGISTRY)}", param_hint="--model")
    for photo in photos:
        if photo.path == STANDARD_STREAM:
            photo.hold()  # here Ctrl-C ends it; a thread of the event loop would read on
    settings = load_settings(engine={"models": (options.model,), "max_queue": MOST_JOBS})
    engine = LocalEngine(settings.engine)

    async def run() -> int:
        async with open_pipeline(settings, engine=engine) as pipeline:
            if reason := engine.status()["models"][options.model].get("reason"):
                raise ModelUnavailable(public=reason)
            with progress(len(photos), "cut") as advance:

                def done(photo: Photo, error: str | None) -> None:
                    if error:
                        warn(f"{photo.path}: {error}")
                    advance()

                return await cut_photos(
                    pipeline, photos, sink, options, jobs=jobs, background_image=background_image, done=done
                )

    return asyncio.run(run())


async def cut_photos(
    pipeline: Remover,
    photos: Sequence[Photo],
    sink: Sink,
    options: CutoutOptions,
    *,
    jobs: int,
    done: Callable[[Photo, str | None], None],
    background_image: bytes | None = None,
) -> int:
    """Cuts every photo, `jobs` at a time; one photo's failure is never another's.

    done: called with each photo and, where it failed, the reason.
    Returns the number of failures.
    """
    from api.pipeline import Job
    from model.deadline import Deadline

    waiting = iter(photos)
    failures = 0

    async def one(photo: Photo) -> None:
        sink.check(photo)
        source = await asyncio.to_thread(photo.read)
        job = Job(source, options, background_image=background_image, store=False)
        outcome = await pipeline.remove_background(job, Deadline.after(PATIENCE))
        await asyncio.to_thread(sink.write, photo, outcome.encoded)

    async def worker() -> None:
        nonlocal failures
        for photo in waiting:
            error = None
            try:
                await one(photo)
            except Refused as exc:
                error = str(exc)
            except Exception as exc:
                error = told(as_error(exc))
            failures += error is not None
            done(photo, error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(jobs, len(photos))):
            group.create_task(worker())
    return failures
