"""What TLS is served with: one OpenSSL context for each host's certificate, exchanged without a restart.

TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only (RFC 9325 §4.2), no renegotiation (§3.5), no
compression (§3.3), and no resumption: what a mobile client saves by it is a signature of ours, and a ticket key is a
secret that opens old traffic. OpenSSL still hands two tickets to a client of TLS 1.3 (the bindings cannot say none):
they name sessions of a cache that is off, hold nothing, and lead to a full handshake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from xmpp_server.net.certificates import Certificate, CertificateError, CertificateFiles, load, matching_names

binding: Final = Binding()
_ffi: Final[Any] = binding.ffi
_lib: Final[Any] = binding.lib
_ACKNOWLEDGED: Final[int] = _lib.SSL_TLSEXT_ERR_OK
_IGNORED: Final[int] = _lib.SSL_TLSEXT_ERR_NOACK
_FATAL: Final[int] = _lib.SSL_TLSEXT_ERR_ALERT_FATAL

_TLS12_CIPHERS: Final = b":".join(
    f"ECDHE-{authentication}-{encryption}".encode()
    for encryption in ("AES256-GCM-SHA384", "CHACHA20-POLY1305", "AES128-GCM-SHA256")
    for authentication in ("ECDSA", "RSA")
)
_TLS13_CIPHERS: Final = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
# Finite-field groups are left out: a client that offers only the largest costs the server milliseconds a handshake.
_GROUPS: Final = b"X25519:secp256r1:secp384r1"
_HYBRID_GROUPS: Final = b"X25519MLKEM768:" + _GROUPS  # not in every OpenSSL


class HostContext:
    """A certificate and what OpenSSL made of it. Sessions keep theirs, whatever is loaded later."""

    __slots__ = ("certificate", "end_point", "openssl")

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.end_point = certificate.end_point
        self.openssl = _context(certificate)


class Reload(NamedTuple):
    """The hosts that have another certificate now, and for those whose files were refused, why."""

    renewed: tuple[str, ...]
    refused: tuple[CertificateError, ...]


class TLSContexts:
    """The certificates in use, found by the name a client asks for."""

    def __init__(self, hosts: Mapping[str, CertificateFiles]) -> None:
        """Loads all; the first host's is for clients that ask for none that is known.

        Raises CertificateError, and ValueError without a host.
        """
        if not hosts:
            raise ValueError("TLS needs the certificate of one host at least")
        self._files = dict(hosts)
        self._hosts = {host: HostContext(load(files)) for host, files in hosts.items()}
        self._by_name = self._index()

    def for_host(self, domain: str) -> HostContext:
        """The host's own, else one whose certificate covers the domain (a component's), else the first host's."""
        return self.find(domain) or next(iter(self._hosts.values()))

    def find(self, domain: str) -> HostContext | None:
        for name in matching_names(domain):
            if found := self._by_name.get(name):
                return found
        return None

    def certificates(self) -> dict[str, Certificate]:
        return {host: context.certificate for host, context in self._hosts.items()}

    def reload(self, hosts: Mapping[str, CertificateFiles] | None = None) -> Reload:
        """Reads the files again, or those of a new set of hosts; connections that live keep what they have.

        Each host for itself: files that are refused leave the host's old certificate in place (a new host without one
        is served with the first host's), and hold up no other.
        """
        files = self._files if hosts is None else dict(hosts)
        contexts: dict[str, HostContext] = {}
        renewed: list[str] = []
        refused: list[CertificateError] = []
        for host, pair in files.items():
            old = self._hosts.get(host)
            try:
                certificate = load(pair)
                if old is not None and certificate.chain == old.certificate.chain:
                    contexts[host] = old
                else:
                    contexts[host] = HostContext(certificate)
                    renewed.append(host)
            except CertificateError as error:
                refused.append(error)
                if old is not None:
                    contexts[host] = old
        if contexts:
            self._files, self._hosts = files, contexts
            self._by_name = self._index()
        return Reload(tuple(renewed), tuple(refused))

    def _index(self) -> dict[str, HostContext]:
        names: dict[str, HostContext] = {matching_names(host)[0]: context for host, context in self._hosts.items()}
        for context in self._hosts.values():
            for name in context.certificate.names:
                names.setdefault(name, context)
        return names


class Choice:
    """What a client hello is answered from: the certificate by its SNI, the protocol by its ALPN."""

    __slots__ = ("context", "contexts", "protocols")

    def __init__(self, contexts: TLSContexts, context: HostContext, protocols: tuple[str, ...]) -> None:
        self.contexts = contexts
        self.context = context  # until the client asks for another
        self.protocols = protocols


choices: Final[dict[Any, Choice]] = {}
"""By OpenSSL's pointer, with which it calls back; a connection stands here only while its handshake is being called."""


def server_name(ssl: Any) -> str:
    name = _lib.SSL_get_servername(ssl, _lib.TLSEXT_NAMETYPE_host_name)
    return _ffi.string(name).decode("ascii", "replace") if name else ""


def _choose_certificate(ssl: Any, _alert: Any, _argument: Any) -> int:
    """Serves the certificate of the name asked for; for an unknown one the connection's own (RFC 6066 §3)."""
    choice = choices[ssl]
    context = choice.contexts.find(server_name(ssl))
    if context is None:
        return _IGNORED
    _lib.SSL_set_SSL_CTX(ssl, context.openssl._context)
    choice.context = context
    return _ACKNOWLEDGED


def _choose_protocol(ssl: Any, out: Any, out_size: Any, offered: Any, size: int, _argument: Any) -> int:
    protocols = choices[ssl].protocols
    if not protocols:
        return _IGNORED
    places: dict[bytes, int] = {}
    at = 0
    while at < size:
        start, at = at + 1, at + 1 + offered[at]
        places[bytes(_ffi.buffer(offered + start, at - start))] = start
    for protocol in protocols:
        if (start := places.get(protocol.encode(), 0)) > 0:
            out[0], out_size[0] = offered + start, len(protocol)
            return _ACKNOWLEDGED
    return _FATAL


_on_name: Final = _ffi.callback("int (*)(SSL *, int *, void *)", _choose_certificate, error=_FATAL)
_on_protocols: Final = _ffi.callback(
    "int (*)(SSL *, unsigned char **, unsigned char *, const unsigned char *, unsigned int, void *)",
    _choose_protocol,
    error=_FATAL,
)


def _context(certificate: Certificate) -> SSL.Context:
    """Raises CertificateError: OpenSSL does not take it, as a key that is too small."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.clear_mode(_lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
    context.set_cipher_list(_TLS12_CIPHERS)
    context.set_tls13_ciphersuites(_TLS13_CIPHERS)
    if _lib.SSL_CTX_set1_curves_list(context._context, _HYBRID_GROUPS) != 1:
        _lib.ERR_clear_error()
        _lib.SSL_CTX_set1_curves_list(context._context, _GROUPS)
    _lib.SSL_CTX_set_tlsext_servername_callback(context._context, _on_name)
    _lib.SSL_CTX_set_alpn_select_cb(context._context, _on_protocols, _ffi.NULL)
    try:
        context.use_certificate(certificate.leaf)
        for intermediate in certificate.chain[1:]:
            context.add_extra_chain_cert(intermediate)
        context.use_privatekey(certificate.key)
        context.check_privatekey()
    except SSL.Error as error:
        reasons = ", ".join(reason for *_, reason in error.args[0]) if error.args else "unknown"
        raise CertificateError(f"{certificate.files.chain}: OpenSSL does not take it: {reasons}") from None
    return context
