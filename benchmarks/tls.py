"""TLS for the measurements: a certificate for the loopback address, who trusts it, and the server's side of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["Tls", "certify", "server_context", "trusting"]

NAMES = ("localhost", "127.0.0.1", "::1")
SYSTEM = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where Linux distributions keep the certificates of the authorities that everybody trusts."""


def certify(folder: Path) -> Path:
    """Create a certificate, its key, and the files that make clients trust it; return that of the server.

    The Python clients get the authority together with those of the system: loading all of them is part of what a
    connection over TLS costs its first user.

    Raises:
        RuntimeError: trustme is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise RuntimeError("measurements over TLS need trustme: pip install 'runware-client[benchmarks]'") from None
    authority = trustme.CA()
    issued = authority.issue_cert(*NAMES)
    server = folder / "server.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(server))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    everything = next((Path(name).read_bytes() for name in SYSTEM if Path(name).exists()), b"")
    (folder / "trusted.pem").write_bytes(everything + authority.cert_pem.bytes())
    return server


def trusting(folder: Path) -> dict[str, str]:
    """Return the environment variables with which Python's `ssl`, and Node, trust the certificate."""
    return {"SSL_CERT_FILE": str(folder / "trusted.pem"), "NODE_EXTRA_CA_CERTS": str(folder / "authority.pem")}


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return the server's settings: TLS 1.3 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    return context


class Tls:
    """The server's side of a connection over TLS, in memory: a read and a write are one system call, as without it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._shaken = False

    def decrypt(self, data: bytes) -> bytes:
        """Take bytes from the network and return what they say. Call `pending` afterwards.

        Raises:
            ssl.SSLError: The other side ended the connection, or what it sent is not TLS.
        """
        self._in.write(data)
        found: list[bytes] = []
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while self._in.pending:
                found.append(self._tls.read(16_384))  # a record is never longer
        except ssl.SSLWantReadError:
            pass
        return found[0] if len(found) == 1 else b"".join(found)

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return bytes for the network."""
        self._tls.write(data)
        return self._out.read()

    def pending(self) -> bytes:
        """Return the bytes of the handshake that the network is to have."""
        return self._out.read() if self._out.pending else b""
