"""A photo in, a cutout's URL out: starts the real service, asks it over HTTP, and fetches what it answers.

python deploy/demo.py [PHOTO] [--output DIR] [--keep]
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np

START_SECONDS = 300.0
"""For the service to be ready, its network warm: two slow cores need about ten."""
STOP_SECONDS = 30.0
REQUEST_SECONDS = 120.0


class DemoFailed(Exception):
    """The text says what did not work."""


def main() -> int:
    """Runs the demo. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Cuts a photo out through the real HTTP service.")
    parser.add_argument("photo", nargs="?", type=Path, help="default: scikit-image's photo of an astronaut")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where the PNG is saved")
    parser.add_argument("--keep", action="store_true", help="leave the service running until Ctrl-C")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the service ends too
    try:
        name, body = bundled_photo() if arguments.photo is None else named_photo(arguments.photo)
        with tempfile.TemporaryDirectory(prefix="objectcut-demo-") as data, service(Path(data)) as origin:
            cut(origin, name, body, arguments.output)
            if arguments.keep:
                say(f"running: {origin} (its page of requests: {origin}/docs); Ctrl-C ends it")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
    except (DemoFailed, OSError, httpx.HTTPError) as exc:
        sys.stderr.write(f"demo failed: {exc}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def bundled_photo() -> tuple[str, bytes]:
    """A public-domain photograph that scikit-image carries, as the JPEG that a camera would give."""
    from skimage.data import astronaut

    rgb = astronaut()  # type: ignore[no-untyped-call]
    encoded, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not encoded:
        raise DemoFailed("the photo could not be written as JPEG")
    return "astronaut", jpeg.tobytes()


def named_photo(path: Path) -> tuple[str, bytes]:
    """A photo of one's own."""
    return path.stem, path.read_bytes()


@contextlib.contextmanager
def service(data: Path) -> Iterator[str]:
    """The service as a process of its own, ready; yields its origin. It is gone afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("objectcut")
    log = data / "server.log"
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 our own command, of the same environment
            [command, "serve", "--port", str(port), "--data-dir", data / "store", "--anonymous"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OBJECTCUT_DRAIN_DELAY": "0"},  # no load balancer has to notice its end
        )
    try:
        origin = f"http://127.0.0.1:{port}"
        say(f"starting the service on {origin}")
        wait_until_ready(child, origin, log)
        yield origin
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until_ready(child: "subprocess.Popen[bytes]", origin: str, log: Path) -> None:
    """Returns once /readyz answers 200. Raises DemoFailed with the end of the log."""
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS:
        if child.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{origin}/readyz", timeout=5).status_code == httpx.codes.OK:
                say(f"ready after {time.monotonic() - started:.1f} s")
                return
        time.sleep(0.1)
    raise DemoFailed(f"the service did not become ready; its log ends\n{log.read_text()[-4000:]}")


def cut(origin: str, name: str, body: bytes, output: Path) -> None:
    """Posts the photo, prints the URL of its cutout, fetches and saves it. Raises DemoFailed."""
    say(f"POST /v1/cutouts with {name}, {len(body) / 1000:.0f} kB")
    with httpx.Client(timeout=REQUEST_SECONDS) as client:
        started = time.monotonic()
        answer = client.post(f"{origin}/v1/cutouts", files={"image": (f"{name}.jpg", body)})
        seconds = time.monotonic() - started
        if answer.status_code != httpx.codes.CREATED:
            raise DemoFailed(f"HTTP {answer.status_code}: {answer.text}")
        facts = answer.json()
        say(f"url: {facts['url']}")
        png = client.get(facts["url"]).raise_for_status().content
    edge, subject = shares(png)
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{name}.png"
    target.write_bytes(png)
    say(f"saved: {target}")
    say(
        f"answered in {seconds * 1000:.0f} ms: "
        + ", ".join(f"{k} {v:.0f}" for k, v in facts["timings_ms"].items())
    )
    say(f"subject: {subject:.1%} of the picture; soft edge: {edge:.2%} of its pixels")


def shares(png: bytes) -> tuple[float, float]:
    """Of all pixels, those of the soft edge and those of the subject. Raises DemoFailed for no cutout."""
    rgba = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if rgba is None or rgba.ndim != 3 or rgba.shape[2] != 4:
        raise DemoFailed("the answer is not a picture with transparency")
    alpha = rgba[..., 3]
    edge, subject = float(np.mean((alpha > 0) & (alpha < 255))), float(np.mean(alpha >= 128))
    if not edge:
        raise DemoFailed("the edge of the cutout is not soft")
    return edge, subject


def say(line: str) -> None:
    """One line, at once: whoever reads a pipe need not wait for the end."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
