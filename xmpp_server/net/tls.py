"""TLS, server side, fed with bytes and asked for bytes: no socket and no loop in here. For one thread only, since all
sessions share one buffer and OpenSSL runs without Python's lock.

OpenSSL is reached by the bindings that pyOpenSSL itself uses: its `Connection` keeps memory buffers that never shrink
(119 KiB for an idle connection that once saw 60 KB) and costs twice the time; Python's `ssl` cannot export keying
material. A connection at rest has no buffers at all; one that is busy keeps a pair of memory BIOs until a number of
others was busy after it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, NoReturn

from xmpp_server.net.certificates import Certificate
from xmpp_server.net.tls_contexts import Choice, TLSContexts, binding, choices, server_name

ALPN_CLIENT: Final = "xmpp-client"
"""What a client names when it speaks TLS from the first byte (XEP-0368 §3)."""

HANDSHAKE_LIMIT: Final = 64 * 1024
"""Bytes that a peer may send before the handshake is done; an honest one needs 2 KB, with a chain of its own 10 KB."""

_BUSY: Final = 1280  # connections that keep their BIOs: more than are in one room, which are written to in a row
_KEPT: Final = 4096  # bytes that may pass a BIO that is kept: its buffer never shrinks
_RECORD: Final = 16384  # the plaintext of a record, at most (RFC 8446 §5.1)

_ffi: Final[Any] = binding.ffi
_lib: Final[Any] = binding.lib
_NULL: Final = _ffi.NULL
_MEMORY: Final = _lib.BIO_s_mem()
# One for the process: each call reads no more of it than it wrote.
_buffer: Final = _ffi.new("char[]", _RECORD)
_pointer: Final = _ffi.new("char **")

_ssl_read: Final = _lib.SSL_read
_ssl_write: Final = _lib.SSL_write
_bio_read: Final = _lib.BIO_read
_bio_write: Final = _lib.BIO_write
_bio_data: Final = _lib.BIO_get_mem_data
_clear_errors: Final = _lib.ERR_clear_error
_unpack: Final = _ffi.unpack


class TLSError(Exception):
    """The connection is of no further use: send what `data_to_send` still has (the alert), and close."""


class TLSSession:
    """The server's end of one connection: ciphertext in and out, plaintext in and out.

    `alpn` are the protocols that this port speaks, in order: a client that offers others only is refused with
    no_application_protocol (RFC 7301 §3.2), one that offers none is served (XEP-0368 §3). Empty: the extension is
    ignored, as after STARTTLS. `host` gives the certificate for a client without SNI (the `to` of its stream header).
    """

    __slots__ = (
        "_choice",
        "_context",
        "_error",
        "_input",
        "_output",
        "_received",
        "_ssl",
        "_unsent",
        "handshake_done",
        "peer_closed",
    )

    def __init__(self, contexts: TLSContexts, *, alpn: tuple[str, ...] = (), host: str = "") -> None:
        self._context = contexts.for_host(host)
        self._choice: Choice | None = Choice(contexts, self._context, alpn)
        self._ssl: Any = _ffi.gc(_lib.SSL_new(self._context.openssl._context), _lib.SSL_free)
        _lib.SSL_set_accept_state(self._ssl)
        self._input: Any = None  # the BIOs, while busy
        self._output: Any = None
        self._unsent = b""
        self._received = 0  # bytes, until the handshake is done
        self._error: str | None = None
        self.handshake_done = False
        self.peer_closed = False
        """The peer said close_notify: what came before it is complete."""

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        """Takes what the socket read and returns the plaintext of the records that are complete, often none.

        Ask for `data_to_send` afterwards, also after an error. Raises TLSError: what the peer sent is not TLS, or not
        the TLS spoken here, or was tampered with; plaintext of records before it in the same call is dropped with it.
        """
        if self.peer_closed:
            return b""
        if self._input is None:
            self._attach()
        size = len(data)
        if type(data) is not bytes:
            data = _ffi.from_buffer(data)
        _clear_errors()  # the queue belongs to the thread, and others use OpenSSL too
        _bio_write(self._input, data, size)
        if not self.handshake_done and not self._handshake(size):
            return b""
        count: int = _ssl_read(self._ssl, _buffer, _RECORD)
        if count > 0 and size <= _KEPT and _bio_data(self._input, _pointer) == 0:
            plaintext: bytes = _unpack(_buffer, count)
            return plaintext
        parts = []
        while count > 0:
            parts.append(_unpack(_buffer, count))
            count = _ssl_read(self._ssl, _buffer, _RECORD)
        self._check(count)
        if size > _KEPT:
            self._detach()
        return b"".join(parts)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts plaintext, in records as large as they get: gather what there is to say first.

        Raises TLSError: the handshake is not done, or the connection failed or was closed by this side.
        """
        if not self.handshake_done:
            raise TLSError(self._error or "nothing can be sent before the handshake is done")
        if self._output is None:
            self._attach()
        size = len(data)
        if type(data) is not bytes:
            data = _ffi.from_buffer(data)
        if size:
            _clear_errors()
            if _ssl_write(self._ssl, data, size) <= 0:
                self._fail()

    def data_to_send(self) -> bytes:
        """The ciphertext for the socket, each byte once."""
        first = b""
        if self._output is not None and not self._unsent:
            count = _bio_read(self._output, _buffer, _KEPT + 1)
            if count > 0:
                first = _unpack(_buffer, count)
            if count <= _KEPT:
                return first
        if self._output is not None:
            self._detach()
        unsent, self._unsent = self._unsent, b""
        return first + unsent

    def close_notify(self) -> None:
        """Says that no more comes from this side (RFC 8446 §6.1): the last of `data_to_send`. Twice is as once."""
        if self._ssl is None or not self.handshake_done:
            return
        if self._output is None:
            self._attach()
        _lib.SSL_shutdown(self._ssl)
        _clear_errors()

    def close(self) -> None:
        """Frees all that is held, unsent ciphertext too; for when the socket is gone."""
        self._error = self._error or "closed"
        self._release()
        self._unsent = b""

    @property
    def version(self) -> str:
        """`TLSv1.2` or `TLSv1.3`; empty without a connection, as the following."""
        return _ffi.string(_lib.SSL_get_version(self._ssl)).decode() if self._established else ""

    @property
    def cipher(self) -> str:
        """OpenSSL's name, as `TLS_AES_256_GCM_SHA384`."""
        if not self._established:
            return ""
        return _ffi.string(_lib.SSL_CIPHER_get_name(_lib.SSL_get_current_cipher(self._ssl))).decode()  # type: ignore[no-any-return]

    @property
    def sni(self) -> str:
        """The name that the client asked for, as it wrote it; empty if it named none."""
        return server_name(self._ssl) if self._established else ""

    @property
    def alpn(self) -> str:
        """The protocol agreed on; empty if none was."""
        if not self._established:
            return ""
        name, size = _ffi.new("unsigned char **"), _ffi.new("unsigned int *")
        _lib.SSL_get0_alpn_selected(self._ssl, name, size)
        return bytes(_ffi.buffer(name[0], size[0])).decode() if size[0] else ""

    @property
    def certificate(self) -> Certificate:
        """What this connection was served with."""
        return self._context.certificate

    def channel_bindings(self) -> dict[str, bytes]:
        """By their registered name, the strongest first; empty before the handshake is done.

        `tls-exporter` (RFC 9266 §2) needs TLS 1.3 or the extended master secret (§4.2), `tls-server-end-point`
        (RFC 5929 §4) a certificate signed with one hash.
        """
        bindings: dict[str, bytes] = {}
        if not self._established:
            return bindings
        if self.version == "TLSv1.3" or _lib.SSL_get_extms_support(self._ssl) == 1:
            # "Context value: zero-length string": in TLS 1.2 that is not the same as none (RFC 5705 §4).
            label = b"EXPORTER-Channel-Binding"
            value = _ffi.new("unsigned char[]", 32)
            if _lib.SSL_export_keying_material(self._ssl, value, 32, label, len(label), b"", 0, 1) == 1:
                bindings["tls-exporter"] = bytes(_ffi.buffer(value))
        if self._context.end_point is not None:
            bindings["tls-server-end-point"] = self._context.end_point
        return bindings

    @property
    def _established(self) -> bool:
        return self.handshake_done and self._ssl is not None

    def _handshake(self, size: int) -> bool:
        self._received += size
        assert self._choice is not None
        choices[self._ssl] = self._choice
        try:
            result = _lib.SSL_do_handshake(self._ssl)
        finally:
            del choices[self._ssl]
        self._context = self._choice.context
        if result == 1:
            self.handshake_done = True
            self._choice = None
            return True
        self._check(result)
        if self._received > HANDSHAKE_LIMIT:
            self._fail("the handshake is too long")
        return False

    def _check(self, result: int) -> None:
        error = _lib.SSL_get_error(self._ssl, result)
        if error == _lib.SSL_ERROR_ZERO_RETURN:
            self.peer_closed = True
        elif error != _lib.SSL_ERROR_WANT_READ:
            self._fail()

    def _fail(self, reason: str = "") -> NoReturn:
        if not reason:
            text = _lib.ERR_reason_error_string(_lib.ERR_peek_error())  # the first is the cause of the others
            reason = _ffi.string(text).decode() if text else "protocol error"
        _clear_errors()
        self._error = reason
        self._release()
        raise TLSError(reason)

    def _attach(self) -> None:
        if self._ssl is None:
            raise TLSError(self._error)
        self._input, self._output = _lib.BIO_new(_MEMORY), _lib.BIO_new(_MEMORY)
        _lib.SSL_set_bio(self._ssl, self._input, self._output)  # which owns them from here on
        _busy[self] = None
        if len(_busy) > _BUSY:
            next(iter(_busy))._detach()

    def _detach(self) -> None:
        """Gives the BIOs back; all input was consumed, since a call reads until OpenSSL wants more."""
        size = _bio_data(self._output, _pointer)
        if size > 0:
            self._unsent += _unpack(_pointer[0], size)
        _lib.SSL_set_bio(self._ssl, _NULL, _NULL)
        self._input = self._output = None
        del _busy[self]

    def _release(self) -> None:
        if self._output is not None:
            self._detach()
        self._ssl = self._choice = None


_busy: Final[OrderedDict[TLSSession, None]] = OrderedDict()
