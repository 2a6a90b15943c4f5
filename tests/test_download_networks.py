"""Downloads do not reach into networks that a server on the internet could not reach itself."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import ssl
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import trustme

import runware
from runware import DownloadError, Runware
from runware.local import LocalServer
from runware.media import downloads as module
from runware.media.downloads import Downloads, Network, network_of

from .net import listening, read_head
from .test_saving import PNG, Site, fetched_by, whole
from .test_three_interfaces import PICTURE

OUTSIDE = "127.0.0.2"
"""Taken for an address on the internet in these tests."""


PUBLIC = "1.2.3.4"
"""An address on the internet, for the server of a client; nothing is sent there."""


class Outside(Site):
    """A web server that the client takes for one on the internet."""

    @property
    def url(self) -> str:
        return f"http://{OUTSIDE}:{self.server.server_port}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    real = network_of
    monkeypatch.setattr(module, "network_of", lambda text: Network.INTERNET if text == OUTSIDE else real(text))
    bind = ThreadingHTTPServer.server_bind

    def bound(server: ThreadingHTTPServer) -> None:
        server.server_address = (OUTSIDE, 0)
        bind(server)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(ThreadingHTTPServer, "server_bind", bound)
            site = Outside()
    except OSError:
        pytest.skip(f"{OUTSIDE} is not an address of this machine")
    yield site
    site.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Resolve these names to the given addresses."""
    known: dict[str, str] = {}
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **options: real(known.get(host, host), *more, **options)
    )
    return known


def by_client(image: runware.Image, server: str = OUTSIDE, proxy: str | None = None) -> runware.Image:
    """Set the download settings of an image to those of a client of this server."""
    fetched_by(image, Downloads(proxy, {}, None, server))
    return image


@pytest.mark.parametrize(
    ("network", "addresses"),
    [
        (Network.MACHINE, "127.0.0.1 127.9.9.9 127.1 0 0.0.0.0 2130706433 0x7f000001 0177.1 ::1 :: ::ffff:127.0.0.1"),
        (Network.LINK, "169.254.169.254 fe80::1 fe80::1%eth0 ::ffff:169.254.169.254 2852039166 64:ff9b::a9fe:a9fe"),
        (Network.PRIVATE, "10.0.0.1 172.16.3.4 172.31.0.1 192.168.1.1 10.1 100.64.0.1 100.100.100.200 fd00::1 fc00::1"),
        (Network.PRIVATE, "224.0.0.1 239.1.1.1 ff02::1 240.0.0.1 255.255.255.255 ::ffff:10.0.0.1 2002:a00:1:: fec0::1"),
        (Network.INTERNET, "1.1.1.1 172.32.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 198.18.0.7"),
        (None, "im.runware.ai localhost 1.2.3.4.5 a"),
    ],
)  # fmt: skip
def test_addresses_are_classified_by_network(network: Network | None, addresses: str) -> None:
    assert {address: network_of(address) for address in addresses.split()} == dict.fromkeys(addresses.split(), network)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST.", "x.localhost", "[::1]", "2130706433", "0x7f.1", "0.0.0.0"]
)
def test_url_from_an_internet_server_does_not_lead_to_this_machine(host: str) -> None:
    connected: list[bytes] = []

    def note(sock: socket.socket) -> None:
        connected.append(read_head(sock))

    with listening(note) as port, pytest.raises(DownloadError, match="this machine") as caught:
        by_client(runware.Image(url=f"http://{host}:{port}/x.png"), PUBLIC).read()
    assert connected == []
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("host", "network"), [("169.254.169.254", "link-local"), ("10.0.0.1", "private"), ("[fd00::1]", "private")]
)
def test_url_from_an_internet_server_does_not_lead_into_private_networks(host: str, network: str) -> None:
    for proxy in (None, "http://127.0.0.1:9"):  # a proxy connects wherever it is told to
        with pytest.raises(DownloadError, match=network):
            by_client(runware.Image(url=f"http://{host}/latest/meta-data"), PUBLIC, proxy).read()


def test_redirect_into_a_private_network_is_refused(outside: Site, site: Site) -> None:
    for target in (f"{site.url}/file", "http://169.254.169.254/latest/meta-data", "http://localhost:9/x"):
        outside.answers["/moved"] = whole(b"", 302, Location=target)
        for image in (
            outside.image("/moved"),
            by_client(outside.image("/moved")),
            by_client(outside.image("/moved"), "127.0.0.1"),
        ):
            with pytest.raises(DownloadError, match="redirects to") as caught:
                image.read()
            assert not caught.value.retryable
    assert site.requests == []


def test_redirect_through_a_public_host_cannot_lead_back(outside: Site, site: Site) -> None:
    outside.answers["/back"] = whole(b"", 302, Location=f"{site.url}/file")
    with pytest.raises(DownloadError, match="redirects to"):
        by_client(site.image("/there", whole(b"", 302, Location=f"{outside.url}/back")), "127.0.0.1").read()
    assert [path for path, _ in site.requests] == ["/there"]


def test_redirects_on_the_internet_and_on_this_machine_are_followed(outside: Site, site: Site) -> None:
    assert by_client(outside.image("/moved", whole(b"", 302, Location="/file"))).read() == PNG
    assert by_client(site.image("/out", whole(b"", 302, Location=f"{outside.url}/file")), "127.0.0.1").read() == PNG
    assert by_client(site.image("/moved", whole(b"", 302, Location="/file")), "127.0.0.1").read() == PNG
    assert site.image("/moved").read() == PNG


def test_redirect_from_this_machine_to_a_link_local_address_is_refused(site: Site) -> None:
    with pytest.raises(DownloadError, match="link-local"):
        site.image("/moved", whole(b"", 302, Location="http://169.254.169.254/")).read()


def test_name_of_this_machine_is_refused_before_anything_is_requested(
    outside: Site, site: Site, names: dict[str, str]
) -> None:
    names |= {"files.example": "127.0.0.1", "api.example": OUTSIDE, "inside.example": "127.0.0.1"}
    url = f"http://files.example:{site.server.server_port}/file"
    with pytest.raises(DownloadError, match=r"files\.example, which is on this machine"):
        by_client(runware.Image(url=url), "api.example").read()
    with pytest.raises(DownloadError, match="redirects to files"):
        by_client(outside.image("/moved", whole(b"", 302, Location=url)), "api.example").read()
    assert site.requests == []
    # A client whose own server is local may download from there: a service of the caller's own network.
    assert by_client(runware.Image(url=url), "inside.example").read() == PNG
    assert runware.Image(url=url).read() == PNG


def test_name_that_changes_its_address_is_checked_at_each_connection(
    outside: Site, site: Site, names: dict[str, str]
) -> None:
    names["files.example"] = OUTSIDE
    port = outside.server.server_port
    downloads = Downloads(None, {}, None, OUTSIDE)
    with downloads.session() as session, contextlib.closing(socket.create_server(("127.0.0.1", port))):
        url = f"http://files.example:{port}/file"
        outside.answers["/file"] = whole(PNG, Connection="close")
        assert b"".join(session.fetch(url, timeout=5, max_bytes=10**6)) == PNG
        names["files.example"] = "127.0.0.1"
        with pytest.raises(DownloadError, match="this machine"):
            b"".join(session.fetch(url, timeout=5, max_bytes=10**6))


def test_redirect_over_an_open_connection_is_checked(outside: Site, site: Site) -> None:
    """The first request may go there; the redirected one, over the same connection, may not."""
    outside.answers["/moved"] = whole(b"", 302, Location=f"{site.url}/second")
    with Downloads(None, {}, None, "127.0.0.1").session() as session:
        assert b"".join(session.fetch(f"{site.url}/file", timeout=5, max_bytes=10**6)) == PNG
        with pytest.raises(DownloadError, match="redirects to"):
            b"".join(session.fetch(f"{outside.url}/moved", timeout=5, max_bytes=10**6))
    assert [path for path, _ in site.requests] == ["/file"]


def test_redirect_behind_a_proxy_is_checked_by_its_address() -> None:
    heads: list[bytes] = []

    def proxy(sock: socket.socket) -> None:
        heads.append(read_head(sock))
        sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")

    with listening(proxy) as port, pytest.raises(DownloadError, match="redirects to"):
        by_client(runware.Image(url="http://im.example/x"), PUBLIC, f"http://127.0.0.1:{port}").read()
    assert len(heads) == 1


def test_redirect_from_https_to_http_is_refused() -> None:
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)

    def move(sock: socket.socket) -> None:
        with theirs.wrap_socket(sock, server_side=True) as wrapped:
            read_head(wrapped)
            wrapped.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n")

    with listening(move) as port:
        image = runware.Image(url=f"https://127.0.0.1:{port}/x.png")
        fetched_by(image, Downloads(None, {}, ours, "127.0.0.1"))
        with pytest.raises(DownloadError, match="from https to http"):
            image.read()


def test_results_of_the_local_server_can_be_downloaded_by_every_method(server: LocalServer, rw: Runware) -> None:
    (image,) = rw.image_inference(**PICTURE)
    data = image.read()
    again = pickle.loads(pickle.dumps(image))
    assert again.read() == asyncio.run(again.aread()) == data
    assert runware.Image(url=image.url).read() == data


def test_pickled_result_remembers_the_kind_of_its_server(site: Site) -> None:
    image: Any = pickle.loads(pickle.dumps(by_client(site.image("/file"), PUBLIC)))
    with pytest.raises(DownloadError, match="this machine"):
        image.read()
    assert site.requests == []
    assert module._nothing() is None  # which results pickled by version 0.2.0 name
