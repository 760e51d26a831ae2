"""objectcut paste-server: the desktop's half of ar-cutpaste."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.configuration import load_settings
from api.commands.terminal import console, warn
from api.errors import ModelUnavailable

if TYPE_CHECKING:
    from api.paste.types import Cutter, Target
    from api.settings import Settings
    from api.types import Decoder

PANEL = "Photoshop"


def paste_server(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on: this machine's in the phone's network, or 0.0.0.0.")
    ] = "127.0.0.1",
    directory: Annotated[
        Path, typer.Option("-o", "--directory", file_okay=False, help="Where pasted cutouts go.")
    ] = Path("pasted"),
    url: Annotated[
        str | None, typer.Option(help="The service that cuts; by default this process does.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="OBJECTCUT_SECRET_ACCESS", help="The key that --url wants.")
    ] = None,
    model: Annotated[str, typer.Option(help="The network that cuts.")] = "lite",
    clipboard: Annotated[bool, typer.Option(help="Puts cutouts into the clipboard, too.")] = True,
    screen: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A picture that is taken for the screen."),
    ] = None,
    photoshop_password: Annotated[
        str | None,
        typer.Option(
            envvar="PHOTOSHOP_PASSWORD",
            help="Of Photoshop's remote connections: pastes into its open document.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    photoshop_host: Annotated[str, typer.Option(rich_help_panel=PANEL)] = "127.0.0.1",
    photoshop_origin: Annotated[
        tuple[float, float],
        typer.Option(help="Where the document begins on the screen, px.", rich_help_panel=PANEL),
    ] = (0.0, 0.0),
    photoshop_zoom: Annotated[
        float, typer.Option(min=0.01, help="px of the screen per px of the document.", rich_help_panel=PANEL)
    ] = 1.0,
) -> None:
    """Serves the phone application of ar-cutpaste: cut with the camera, paste to where it points."""
    from model.registry import REGISTRY

    if url is None and model not in REGISTRY:
        raise typer.BadParameter(f"no such model; there are {', '.join(REGISTRY)}", param_hint="--model")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("objectcut.paste").setLevel(logging.INFO)
    settings = load_settings(anonymous=True, engine={"models": (model,)} if url is None else None)
    targets = _targets(directory, clipboard)
    if photoshop_password:
        targets.append(_photoshop(photoshop_password, photoshop_host, photoshop_origin, photoshop_zoom))
    asyncio.run(_serve(settings, host, port, url, key, model, screen, targets))


def _targets(directory: Path, clipboard: bool) -> "list[Target]":
    from api.paste.targets import Clipboard, Folder

    targets: list[Target] = [Folder(directory)]
    if clipboard and (found := Clipboard.find(os.environ)):
        targets.append(found)
    return targets


def _photoshop(password: str, host: str, origin: tuple[float, float], zoom: float) -> "Target":
    try:
        from api.paste.photoshop import Photoshop
    except ModuleNotFoundError:
        warn("Photoshop's connection wants the package cryptography: pip install 'objectcut[photoshop]'")
        raise typer.Exit(2) from None
    return Photoshop(password, host=host, origin=origin, zoom=zoom)


@asynccontextmanager
async def _parts(
    settings: "Settings", url: str | None, key: str | None, model: str
) -> "AsyncIterator[tuple[Cutter, Decoder]]":
    """Who cuts and who decodes, ready. Raises ModelUnavailable."""
    import httpx

    from api.app import open_pipeline
    from api.engine import LocalEngine
    from api.paste.cutters import PipelineCutter, ServiceCutter
    from api.source.isolation import DecodePool

    decoder = DecodePool(settings.decode, settings.isolation, workers=2)
    async with AsyncExitStack() as stack:
        if url is None:
            engine = LocalEngine(settings.engine)
            opened = open_pipeline(settings, decoder=decoder, engine=engine)
            pipeline = await stack.enter_async_context(opened)
            if reason := engine.status()["models"][model].get("reason"):
                raise ModelUnavailable(public=reason)
            yield PipelineCutter(pipeline, model), decoder
        else:
            stack.push_async_callback(decoder.close)
            await decoder.start()
            client = await stack.enter_async_context(httpx.AsyncClient())
            yield ServiceCutter(client, url, model, key), decoder


async def _serve(
    settings: "Settings",
    host: str,
    port: int,
    url: str | None,
    key: str | None,
    model: str,
    screen: Path | None,
    targets: "list[Target]",
) -> None:
    import uvicorn

    from api.paste.screen import GrabbedScreen, ScreenFile
    from api.paste.server import PasteServer

    async with _parts(settings, url, key, model) as (cutter, decoder):
        shown = ScreenFile(screen) if screen else GrabbedScreen()
        app = PasteServer(cutter, decoder, shown, targets, settings.limits).app()
        config = uvicorn.Config(app, host=host, port=port, lifespan="off", log_level="warning", ws="none")
        console.print(f"paste server: http://{host}:{port}", soft_wrap=True)
        await uvicorn.Server(config).serve()
