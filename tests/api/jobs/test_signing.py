import json
import re
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from api.jobs.config import WebhookConfig
from api.jobs.database import Database
from api.jobs.signing import WebhookKeys, shown, signature_headers

ROOT = Path(__file__).parents[3]


def test_the_specifications_own_example() -> None:
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_key_signs_while_they_rotate() -> None:
    new, old = b"n" * 32, b"o" * 32
    both = signature_headers([new, old], "msg_1", 1, b"{}")["webhook-signature"].split(" ")
    assert both == [signature_headers([key], "msg_1", 1, b"{}")["webhook-signature"] for key in (new, old)]


BODY = '{"type": "job.finished", "data": {"name": "\u00e9t\u00e9"}}'.encode()


def documented(language: str) -> str:
    """The page's own example of verifying."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / "JOBS.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def genuine(at: float = 0.0) -> tuple[list[str], dict[str, str]]:
    """Secrets and headers, of which the second secret is the one that has signed."""
    key = b"k" * 32
    return [shown(b"x" * 32), shown(key)], signature_headers(
        [b"y" * 32, key], "msg_1", int(time.time() + at), BODY
    )


def test_the_documented_python_verifies() -> None:
    scope: dict[str, Any] = {}
    exec(documented("python"), scope)  # noqa: S102
    verify = scope["verify"]
    secrets, headers = genuine()
    verify(secrets, headers, BODY)
    for bad in (
        (secrets[:1], headers, BODY),
        (secrets, headers, BODY + b" "),
        (secrets, headers | {"webhook-id": "msg_2"}, BODY),
        (*genuine(at=-400), BODY),
    ):
        with pytest.raises(ValueError, match=r"too old|wrong signature"):
            verify(*bad)


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_documented_javascript_verifies(tmp_path: Path) -> None:
    program = tmp_path / "verify.cjs"
    program.write_text(
        documented("js")
        + """
const [secrets, headers, body] = JSON.parse(process.argv[2]);
verify(secrets, headers, body);
let refused = 0;
for (const [s, h, b] of [[secrets.slice(0, 1), headers, body], [secrets, headers, body + " "],
                         [secrets, { ...headers, "webhook-timestamp": "1000" }, body]]) {
  try { verify(s, h, b); } catch { refused += 1; }
}
console.log(refused);
"""
    )
    secrets, headers = genuine()
    argument = json.dumps([secrets, headers, BODY.decode()])
    done = subprocess.run([NODE or "", str(program), argument], capture_output=True, timeout=60, text=True)
    assert (done.stdout.strip(), done.stderr) == ("3", "")


async def test_each_caller_has_keys_of_its_own(database: Database) -> None:
    keys = WebhookKeys(database, WebhookConfig.model_validate({"keys": ["a" * 32, "b" * 32]}))
    mine, others = await keys.of("key_a"), await keys.of("key_b")
    assert len({*mine, *others}) == 4
    assert mine == await keys.of("key_a")
    assert not database.exists()
    assert b64decode(shown(mine[0]).removeprefix("whsec_")) == mine[0]


async def test_a_key_that_nobody_configured_is_kept(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        database = Database(tmp_path / "jobs.sqlite", 30)
        seen.append(await WebhookKeys(database, WebhookConfig()).of("key_a"))
        await database.close()
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 32


@pytest.mark.parametrize("keys", [["short"], ["x" * 32] * 5])
def test_keys_that_are_too_short_or_too_many(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="keys"):
        WebhookConfig.model_validate({"keys": keys})
