"""The real Traefik with a certificate and a host name of one's own. Behind it is no service."""

import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.deploy.edge import edge, free_ports, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(120)]


def test_a_certificate_and_a_name_of_ones_own(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cut.pem", tmp_path / "cut.key"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cut.example"
    names = ("-addext", "subjectAltName=DNS:cut.example", "-keyout", str(key), "-out", str(certificate))
    subprocess.run([*command.split(), *names], check=True, capture_output=True, timeout=30)
    files = {"TLS_CERTIFICATE": str(certificate), "TLS_KEY": str(key)}
    (nobody,) = free_ports(1)
    with edge(tmp_path, APIS=f"http://127.0.0.1:{nobody}", HOST="cut.example", **files) as own:
        trusting = ssl.create_default_context(cafile=certificate)
        named = {"sni_hostname": "cut.example"}

        def reached() -> bool:
            with suppress(httpx.ConnectError):  # its own certificate, until it has read the configuration
                return http.get("/healthz", extensions=named).status_code in (502, 503)
            return False

        with httpx.Client(base_url=own.secure, verify=trusting, headers={"Host": "cut.example"}) as http:
            until(reached, 10)
        with own.client() as http:
            assert http.get("/healthz", headers={"Host": "another.example"}).status_code == 404
