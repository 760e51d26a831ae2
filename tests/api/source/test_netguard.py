"""The guard's tables: addresses, URLs, redirects."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import InvalidOptions, SourceForbidden, SourceUnreachable
from api.source.netguard import NetGuard, SystemResolver, host_of, port_of, refusal
from tests.origin import PUBLIC, FakeDNS, LoopbackNetwork

# Each range: the address before its first, its first, its last, the one after its last.
# "-" stands where the neighbour is outside of the address space.
RANGES = [
    ("this_network", "-", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
    ("private", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
    ("carrier_nat", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
    ("loopback", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
    ("metadata", "168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
    ("link_local", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
    ("private", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
    ("reserved", "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
    ("documentation", "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
    ("embedded_ipv4", "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
    ("private", "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
    ("benchmarking", "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
    ("documentation", "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
    ("documentation", "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
    ("multicast", "223.255.255.255", "224.0.0.0", "239.255.255.255", "-"),
    ("reserved", "-", "240.0.0.0", "255.255.255.255", "-"),
    ("reserved", "-", "100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"),
    ("embedded_ipv4", "-", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
    ("reserved", "-", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
    (
        "documentation",
        "2001:db7:ffff::1",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
    ),
    ("embedded_ipv4", "2001:ffff::1", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
    ("documentation", "3ffe:ffff::1", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
    ("reserved", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "7fff:ffff::", "-"),
    ("reserved", "-", "8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
    ("private", "-", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
    ("link_local", "-", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
    ("private", "-", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
    ("multicast", "-", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
]
NAMED = [
    ("169.254.169.254", "link_local", "aws_gcp_azure_metadata"),
    ("100.100.100.200", "carrier_nat", "alibaba_metadata"),
    ("192.0.0.192", "reserved", "oracle_metadata"),
    ("168.63.129.16", "metadata", "azure_wireserver"),
    ("fd00:ec2::254", "private", "aws_metadata_ipv6"),
    ("fd20:ce::254", "private", "gcp_metadata_ipv6"),
    ("255.255.255.255", "reserved", "broadcast"),
    ("::", "this_network", "unspecified_ipv6"),
    ("::1", "loopback", "loopback_ipv6"),
    ("::127.0.0.1", "embedded_ipv4", "ipv4_compatible"),
    ("::ffff:127.0.0.1", "embedded_ipv4", "ipv4_mapped"),
    ("::ffff:8.8.8.8", "embedded_ipv4", "ipv4_mapped_public"),
    ("::ffff:0:127.0.0.1", "embedded_ipv4", "siit"),
    ("64:ff9b::7f00:1", "embedded_ipv4", "nat64"),
    ("64:ff9b::808:808", "embedded_ipv4", "nat64_public"),
    ("64:ff9b:1::7f00:1", "embedded_ipv4", "nat64_local"),
    ("2002:a9fe:a9fe::", "embedded_ipv4", "6to4_of_metadata"),
    ("2002:7f00:1::", "embedded_ipv4", "6to4_of_loopback"),
    ("2001:0:4136:e378:8000:63bf:80ff:fffe", "embedded_ipv4", "teredo"),
    ("2600:1::5efe:7f00:1", "embedded_ipv4", "isatap"),
    ("2600:1::200:5efe:10.0.0.1", "embedded_ipv4", "isatap_universal"),
    ("fe80::1%eth0", "zone", "zone_id_link_local"),
    ("2606:4700::1111%1", "zone", "zone_id_public"),
    ("100::1", "reserved", "discard"),
    ("5f00::1", "reserved", "srv6"),
]
ALLOWED = [
    "8.8.8.8",
    "1.1.1.1",
    PUBLIC,
    "142.250.74.46",
    "192.31.196.1",
    "2606:4700:4700::1111",
    "2a00:1450::200e",
    "2001:4860:4860::8888",
    "2620:fe::fe",
    "2400:cb00:2048:1::c629:d7a2",
]


def boundary_rows() -> Iterator[object]:
    for reason, before, first, last, after in RANGES:
        for place, address, expected in (
            ("before", before, None),
            ("first", first, reason),
            ("last", last, reason),
            ("after", after, None),
        ):
            if address != "-":
                yield pytest.param(address, expected, id=f"{first}-{place}")


@pytest.mark.parametrize(("address", "reason"), list(boundary_rows()))
def test_every_denied_range_begins_and_ends_where_it_should(address: str, reason: str | None) -> None:
    assert refusal(ip_address(address)) == reason


@pytest.mark.parametrize(("address", "reason"), [pytest.param(a, r, id=name) for a, r, name in NAMED])
def test_named_addresses_are_refused(address: str, reason: str) -> None:
    assert refusal(ip_address(address)) == reason


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_not_over_blocked(address: str) -> None:
    assert refusal(ip_address(address)) is None


EMBEDDINGS = {
    "mapped": lambda v: 0xFFFF << 32 | v,
    "compatible": lambda v: v,
    "6to4": lambda v: 0x2002 << 112 | v << 80 | 1,
    "teredo": lambda v: 0x20010000 << 96 | (v ^ 0xFFFFFFFF),
    "nat64": lambda v: int(IPv6Address("64:ff9b::")) | v,
    "isatap": lambda v: 0x2600 << 112 | 0x5EFE << 32 | v,
}


@pytest.mark.parametrize("embed", [pytest.param(f, id=name) for name, f in EMBEDDINGS.items()])
@given(value=st.integers(0, 2**32 - 1))
def test_no_ipv4_address_hides_in_an_ipv6_address(embed: object, value: int) -> None:
    assert callable(embed)
    assert refusal(IPv6Address(embed(value))) is not None
    assert refusal(IPv6Address(embed(value)), allow=[ip_network("0.0.0.0/0")]) is not None


class TestSettings:
    def test_named_networks_are_allowed_and_their_neighbours_are_not(self) -> None:
        allow = [ip_network("192.168.7.0/24"), ip_network("fd12::/16")]
        assert refusal(IPv4Address("192.168.7.9"), allow=allow) is None
        assert refusal(IPv6Address("fd12::9"), allow=allow) is None
        assert refusal(IPv4Address("192.168.8.9"), allow=allow) == "private"
        assert refusal(IPv6Address("::ffff:192.168.7.9"), allow=allow) == "embedded_ipv4"

    @pytest.mark.parametrize(
        ("address", "reason"),
        [
            pytest.param("64:ff9b::808:808", None, id="public_inside"),
            pytest.param("64:ff9b::a9fe:a9fe", "link_local", id="metadata_inside"),
            pytest.param("64:ff9b:1::808:808", "embedded_ipv4", id="other_prefix"),
        ],
    )
    def test_nat64_is_judged_by_what_is_inside(self, address: str, reason: str | None) -> None:
        assert refusal(ip_address(address), allow_nat64=True) == reason


def guard(**settings: object) -> NetGuard:
    return NetGuard(resolve=FakeDNS({}), network=LoopbackNetwork(1), **settings)  # type: ignore[arg-type]


BAD_URLS = [
    ("file:///etc/passwd", "file"),
    ("gopher://img.example/", "gopher"),
    ("ftp://img.example/a.png", "ftp"),
    ("data:image/png;base64,iVBORw0KGgo=", "data"),
    ("unix:/var/run/docker.sock", "unix"),
    ("httpx://img.example/", "almost_http"),
    ("//img.example/a.png", "no_scheme"),
    ("img.example/a.png", "no_scheme_no_slashes"),
    ("", "empty"),
    ("http:///a.png", "no_host"),
    ("http:a.png", "no_authority"),
    ("http://user:pw@img.example/", "credentials"),
    ("http://@img.example/", "empty_credentials"),
    ("http://img.example\\@evil.example/", "backslash_at"),
    ("http://img.example\\.evil.example/", "backslash"),
    ("http://img.example:22/", "port_ssh"),
    ("http://img.example:6379/", "port_redis"),
    ("http://img.example:0/", "port_zero"),
    ("http://img.example:99999/", "port_too_high"),
    ("http://img.example:x/", "port_not_a_number"),
    ("http://img\x00.example/", "nul"),
    ("http://img .example/", "space"),
    (" http://img.example/", "leading_space"),
    ("http://img.example/\r\nX-Evil: 1", "line_break"),
    ("http://img%2eexample/", "percent_encoded_host"),
    ("http://ｉｍｇ.example/", "full_width"),
    ("http://①②⑦.0.0.1/", "circled_digits"),
    ("http://bücher.example/", "not_ascii"),
    ("http://img..example/", "empty_label"),
    ("http://[::1", "open_bracket"),
    ("http://[fe80::1%25eth0]/", "zone_id"),
    ("http://[fe80::1%eth0]/", "zone_id_raw"),
    ("http://" + "a" * 254 + "/", "host_too_long"),
    ("http://img.example/" + "a" * 9_000, "too_long"),
    ("http://0177.0.0.1/", "octal_host"),
]


@pytest.mark.parametrize("url", [pytest.param(url, id=name) for url, name in BAD_URLS])
def test_a_url_that_breaks_the_rules_is_an_invalid_option_before_dns(url: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        guard().check_url(url)
    assert (caught.value.status, caught.value.code) == (400, "invalid_options")
    assert caught.value.public.startswith("The image's URL is not valid: ")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        pytest.param("http://img.example/a.png", "img.example", 80, id="http"),
        pytest.param("HTTPS://IMG.example/a.png", "img.example", 443, id="https_upper_case"),
        pytest.param("https://img.example:443/a.png", "img.example", 443, id="its_own_port"),
        pytest.param("http://img.example:443/", "img.example", 443, id="the_other_port"),
        pytest.param("http://xn--bcher-kva.example/", "xn--bcher-kva.example", 80, id="punycode"),
        pytest.param("http://img.example./", "img.example.", 80, id="trailing_dot"),
        pytest.param("http://a_b.example/größe.png?q=a@b", "a_b.example", 80, id="sloppy_path"),
        pytest.param("http://[2606:4700::1111]/", "2606:4700::1111", 80, id="ipv6_literal"),
        pytest.param("http://127.1/", "127.1", 80, id="odd_host_is_judged_by_what_it_resolves_to"),
    ],
)
def test_a_url_within_the_rules(url: str, host: str, port: int) -> None:
    parsed = guard().check_url(url)
    assert (host_of(parsed), port_of(parsed)) == (host, port)


def test_configured_ports_replace_the_usual_ones() -> None:
    assert port_of(guard(ports=(8080,)).check_url("http://img.example:8080/")) == 8080
    with pytest.raises(InvalidOptions):
        guard(ports=(8080,)).check_url("http://img.example/")


@pytest.mark.parametrize("url", ["http://cut.example/x", "https://CUT.example./x"])
def test_our_own_name_is_refused(url: str) -> None:
    reasons: list[str] = []
    with pytest.raises(SourceForbidden):
        guard(deny_hosts=("Cut.example",), on_refusal=reasons.append).check_url(url)
    assert reasons == ["own_host"]


@pytest.mark.parametrize(
    ("location", "lands"),
    [
        pytest.param("/c.png", "https://img.example/c.png", id="absolute_path"),
        pytest.param("c.png?x=1", "https://img.example/a/c.png?x=1", id="relative_path"),
        pytest.param("//cdn.example/c.png", "https://cdn.example/c.png", id="scheme_relative"),
        pytest.param(
            "https://cdn.example/größe.png", "https://cdn.example/gr%C3%B6%C3%9Fe.png", id="raw_utf8_path"
        ),
        pytest.param("http://cdn.example/", None, id="downgrade"),
        pytest.param("file:///etc/passwd", None, id="file"),
        pytest.param("//user@cdn.example/", None, id="credentials"),
        pytest.param("https://cdn.example:22/", None, id="port"),
        pytest.param("https://bücher.example/", None, id="not_ascii"),
        pytest.param("https://cut.example/", None, id="our_own_name"),
        pytest.param("http://[::", None, id="unreadable"),
    ],
)
def test_redirects(location: str, lands: str | None) -> None:
    base = httpx.URL("https://img.example/a/b.png")
    if lands:
        assert str(guard().check_redirect(base, location)) == lands
    else:
        with pytest.raises(SourceForbidden):
            guard(deny_hosts=("cut.example",)).check_redirect(base, location)


class TestDial:
    @pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost", "127.0.0.1"])
    async def test_odd_spellings_of_loopback_meet_the_judgement_of_their_address(self, host: str) -> None:
        resolve, network = SystemResolver(1), LoopbackNetwork(1)
        with pytest.raises(SourceForbidden):
            await NetGuard(resolve=resolve, network=network).dial(host, 80, timeout=1)
        assert network.dialled == []
        resolve.close()

    @pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 70 + ".invalid"])
    async def test_a_name_without_address_is_unreachable(self, host: str) -> None:
        resolve = SystemResolver(1)
        with pytest.raises(SourceUnreachable):
            await NetGuard(resolve=resolve).dial(host, 80, timeout=1)
        resolve.close()

    async def test_an_empty_answer_is_unreachable(self) -> None:
        with pytest.raises(SourceUnreachable):
            await NetGuard(resolve=FakeDNS({"img.example": [[]]})).dial("img.example", 80, timeout=1)
