"""What a request shows of its caller: a key, RapidAPI's word, or only an address."""

import hmac
import ipaddress
import re

from starlette.requests import Request

from api.accounts.plans import RapidApiConfig
from api.errors import Unauthorized

_USER = re.compile(r"[A-Za-z0-9._@+-]{1,64}", re.ASCII)
_V6_NETWORK = 64
"""Bits of an IPv6 address that tell subscribers apart: each owns all that are below."""


def shown_key(request: Request, header: str) -> str:
    """What stands in `header`, or behind `Authorization: Bearer`; empty when nothing does."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return request.headers.get(header) or (bearer.strip() if scheme.lower() == "bearer" else "")


def same_secret(given: str, secret: str | None) -> bool:
    """In constant time; no secret is like none."""
    return bool(secret) and hmac.compare_digest(given.encode(), (secret or "").encode())


def address_of(request: Request) -> str:
    """The client's address as the server told it, of IPv6 its network.

    X-Forwarded-For has been considered there, and only when a trusted proxy sent it.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), _V6_NETWORK), strict=False).network_address)
    return str(address)


def rapidapi_user(request: Request, config: RapidApiConfig) -> tuple[str, str | None] | None:
    """The user whom RapidAPI's proxy vouches for, and the plan's name that the subscription is mapped to.

    None without its headers, or where they are not expected. Raises Unauthorized: the secret, which is
    judged before anything else is read, is wrong, or the user has no name.
    """
    given = request.headers.get("x-rapidapi-proxy-secret")
    if config.proxy_secret is None or given is None:
        return None
    if not same_secret(given, config.proxy_secret.get_secret_value()):
        raise Unauthorized("wrong RapidAPI proxy secret")
    user = request.headers.get("x-rapidapi-user", "")
    if not _USER.fullmatch(user):
        raise Unauthorized("RapidAPI named no user")
    return user, config.plans.get(request.headers.get("x-rapidapi-subscription", "").upper())
