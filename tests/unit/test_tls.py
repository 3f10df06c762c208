import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from OpenSSL import SSL

from xmpp_server.net import tls
from xmpp_server.net.certificates import Certificate, generate
from xmpp_server.net.tls import TLSError, TLSSession
from xmpp_server.net.tls_contexts import TLSContexts

DIRECT = ("xmpp-client",)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return generate("a.example", tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def contexts(certificate: Certificate) -> TLSContexts:
    return TLSContexts({"a.example": certificate.files})


class Client:
    """Python's own TLS over memory, and the session that it talks to."""

    def __init__(self, session: TLSSession, context: ssl.SSLContext, name: str | None = "a.example") -> None:
        self.session = session
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def handshake(self) -> "Client":
        while not self.session.handshake_done:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            try:
                assert self.session.receive(self.outgoing.read()) == b""
            finally:
                self.incoming.write(self.session.data_to_send())
        # The last flight of TLS 1.2 is the server's.
        self.tls.do_handshake()
        return self

    def encrypt(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        self.incoming.write(data)
        parts = []
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.tls.read(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.fixture
def trusting(certificate: Certificate) -> Callable[..., ssl.SSLContext]:
    def context(alpn: list[str] | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(certificate.files.chain))
        made.check_hostname = False
        if alpn is not None:
            made.set_alpn_protocols(alpn)
        if version is not None:
            made.minimum_version = made.maximum_version = version
        return made

    return context


Trusting = Callable[..., ssl.SSLContext]
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
def test_bytes_go_both_ways(contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion) -> None:
    client = Client(TLSSession(contexts), trusting(version=version)).handshake()
    assert client.session.receive(client.encrypt(b"<a/>")) == b"<a/>"
    client.session.send(b"<b/>")
    assert client.decrypt(client.session.data_to_send()) == b"<b/>"
    assert client.session.version == client.tls.version()
    assert client.session.sni == "a.example"


@VERSIONS
def test_any_chunking_gives_the_same_bytes(contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion) -> None:
    session = TLSSession(contexts)
    client = Client(session, trusting(version=version))
    while not session.handshake_done:
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        for byte in client.outgoing.read():
            assert session.receive(bytes([byte])) == b""
            client.incoming.write(session.data_to_send())
    client.tls.do_handshake()
    sent = b"".join(b"<message id='%d'/>" % number for number in range(3))
    records = b"".join(client.encrypt(part) for part in (sent[:7], sent[7:40], sent[40:]))
    assert b"".join(session.receive(bytes([byte])) for byte in records) == sent
    records = b"".join(client.encrypt(part) for part in (sent[:7], sent[7:40], sent[40:]))
    assert session.receive(records) == sent


def test_plaintext_that_comes_with_the_last_of_the_handshake_is_not_lost(
    contexts: TLSContexts, trusting: Trusting
) -> None:
    session = TLSSession(contexts)
    client = Client(session, trusting(version=ssl.TLSVersion.TLSv1_3))
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    session.receive(client.outgoing.read())
    client.incoming.write(session.data_to_send())
    client.tls.do_handshake()
    finished = client.outgoing.read()
    assert session.receive(finished + client.encrypt(b"<stream")) == b"<stream"


@pytest.mark.parametrize("size", [1, 4096, 4097, 16384, 16385, 1_000_000])
@VERSIONS
def test_data_of_any_size_goes_through_whole(
    contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion, size: int
) -> None:
    client = Client(TLSSession(contexts), trusting(version=version)).handshake()
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    assert client.session.receive(client.encrypt(data)) == data
    client.session.send(data)
    assert client.decrypt(client.session.data_to_send()) == data


def test_much_output_is_packed_into_full_records(contexts: TLSContexts, trusting: Trusting) -> None:
    client = Client(TLSSession(contexts), trusting()).handshake()
    client.session.send(b"x" * 163840)
    output = client.session.data_to_send()
    lengths = []
    while output:
        length = int.from_bytes(output[3:5], "big")
        lengths.append(length)
        output = output[5 + length :]
    assert len(lengths) == 10


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_taken(contexts: TLSContexts, trusting: Trusting, kind: type) -> None:
    client = Client(TLSSession(contexts), trusting()).handshake()
    assert client.session.receive(kind(client.encrypt(b"<a/>"))) == b"<a/>"
    client.session.send(kind(b"<b/>"))
    assert client.decrypt(client.session.data_to_send()) == b"<b/>"


def test_nothing_in_and_nothing_out_is_nothing(contexts: TLSContexts, trusting: Trusting) -> None:
    session = TLSSession(contexts)
    assert session.receive(b"") == b""
    assert session.data_to_send() == b""
    client = Client(session, trusting()).handshake()
    assert session.receive(b"") == b""
    session.send(b"")
    assert session.data_to_send() == b""
    assert client.decrypt(b"") == b""


@VERSIONS
def test_no_session_is_resumed(contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion) -> None:
    context = trusting(version=version)
    client = Client(TLSSession(contexts), context).handshake()
    client.session.send(b"x")
    client.decrypt(client.session.data_to_send())
    again = Client(TLSSession(contexts), context)
    if client.tls.session is not None:
        again.tls.session = client.tls.session
    again.handshake()
    assert not again.tls.session_reused


def test_many_busy_sessions_keep_apart(
    contexts: TLSContexts, trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_BUSY", 2)
    clients = [Client(TLSSession(contexts), trusting()).handshake() for _ in range(5)]
    for turn in range(3):
        for number, client in enumerate(clients):
            own = b"%d of %d" % (turn, number)
            record = client.encrypt(own)
            # Half a record and output that is not fetched yet survive that others are busy.
            assert client.session.receive(record[:9]) == b""
            client.session.send(own)
            for other in clients[number + 1 :]:
                assert other.session.receive(other.encrypt(b"between")) == b"between"
            assert client.session.receive(record[9:]) == own
            client.session.send(own)
            assert client.decrypt(client.session.data_to_send()) == own + own
    for client in clients:
        assert client.session.data_to_send() == b""
        client.session.close()


def test_a_session_that_was_closed_is_not_kept_anywhere(contexts: TLSContexts, trusting: Trusting) -> None:
    client = Client(TLSSession(contexts), trusting()).handshake()
    assert client.session in tls._busy
    client.session.send(b"x")
    client.session.close()
    client.session.close()
    assert client.session not in tls._busy
    assert client.session.data_to_send() == b""
    assert client.session.channel_bindings() == {}
    assert client.session.version == client.session.cipher == client.session.sni == client.session.alpn == ""
    with pytest.raises(TLSError):
        client.session.receive(b"x")
    with pytest.raises(TLSError):
        client.session.send(b"x")


@VERSIONS
def test_the_ends_of_a_stream_are_told(contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion) -> None:
    client = Client(TLSSession(contexts), trusting(version=version)).handshake()
    last = client.encrypt(b"</stream:stream>")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert client.session.receive(last + client.outgoing.read()) == b"</stream:stream>"
    assert client.session.peer_closed
    assert client.session.receive(b"what comes after the end is not read") == b""
    client.session.close_notify()
    client.session.close_notify()
    client.incoming.write(client.session.data_to_send())
    client.tls.unwrap()


def test_after_its_close_notify_a_session_sends_nothing(contexts: TLSContexts, trusting: Trusting) -> None:
    client = Client(TLSSession(contexts), trusting()).handshake()
    client.session.close_notify()
    with pytest.raises(TLSError):
        client.session.send(b"late")


def test_nothing_is_sent_before_the_handshake_is_done(contexts: TLSContexts) -> None:
    session = TLSSession(contexts)
    with pytest.raises(TLSError):
        session.send(b"early")
    session.close_notify()
    assert session.data_to_send() == b""
    assert session.channel_bindings() == {}


# RFC 8446 §6: a record of type 21, then level fatal (2) and the description.
def alert(data: bytes) -> int:
    assert data[0] == 21
    assert data[5] == 2
    return data[6]


PROTOCOL_VERSION = 70


@pytest.mark.parametrize(
    "data",
    [
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='a.example'>",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"\0" * 100,
        b"\xff" * 100,
        b"\x16\x03\x01\xff\xff" + b"\0" * 100,
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x17\x03\x03\x00\x05hello",
        b"\x80\x2e\x01\x03\x01" + b"\0" * 50,
    ],
)
def test_what_is_no_client_hello_is_refused_with_a_reason(contexts: TLSContexts, data: bytes) -> None:
    session = TLSSession(contexts)
    with pytest.raises(TLSError) as caught:
        session.receive(data)
    assert 0 < len(str(caught.value)) < 80
    session.data_to_send()
    with pytest.raises(TLSError):
        session.receive(data)
    with pytest.raises(TLSError):
        session.send(b"x")
    session.close_notify()
    assert session.data_to_send() == b""


def test_old_versions_are_refused_with_an_alert(contexts: TLSContexts) -> None:
    # Transcribed from RFC 5246 §7.4.1.2 with the version of TLS 1.1: random, no session, AES128-SHA, no compression.
    hello = b"\x03\x02" + b"r" * 32 + b"\0" + b"\0\x02\0\x2f" + b"\x01\0"
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    session = TLSSession(contexts)
    with pytest.raises(TLSError, match="unsupported protocol"):
        session.receive(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
    assert alert(session.data_to_send()) == PROTOCOL_VERSION


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256"]
)
def test_ciphers_without_forward_secrecy_or_authenticated_encryption_are_refused(
    contexts: TLSContexts, trusting: Trusting, cipher: str
) -> None:
    context = trusting(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)
    client = Client(TLSSession(contexts), context)
    with pytest.raises(TLSError, match="no shared cipher"):
        client.handshake()


def test_the_order_of_ciphers_is_the_servers(contexts: TLSContexts, trusting: Trusting) -> None:
    context = trusting(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    assert Client(TLSSession(contexts), context).handshake().session.cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_a_handshake_without_an_end_is_given_up(contexts: TLSContexts, trusting: Trusting) -> None:
    session = TLSSession(contexts)
    # One hello of 120,000 bytes, in records of 16,000: never complete.
    first = b"\x16\x03\x01\x3e\x80" + b"\x01" + (120_000).to_bytes(3, "big") + b"\x03\x03" + b"r" * 15994
    following = b"\x16\x03\x01\x3e\x80" + b"r" * 16000
    for record in (first, following, following, following):
        session.receive(record)
    with pytest.raises(TLSError, match="too long"):
        session.receive(following)


@VERSIONS
def test_a_record_that_was_tampered_with_ends_the_connection(
    contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion
) -> None:
    client = Client(TLSSession(contexts), trusting(version=version)).handshake()
    record = bytearray(client.encrypt(b"<a/>"))
    record[-1] ^= 1
    with pytest.raises(TLSError, match=r"mac|cipher operation failed"):
        client.session.receive(record)
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        client.decrypt(client.session.data_to_send())


def test_a_record_that_is_longer_than_allowed_ends_the_connection(contexts: TLSContexts, trusting: Trusting) -> None:
    client = Client(TLSSession(contexts), trusting()).handshake()
    with pytest.raises(TLSError, match="too long"):
        client.session.receive(b"\x17\x03\x03\xff\xff")


def test_an_alert_of_the_client_ends_the_handshake(contexts: TLSContexts) -> None:
    client = Client(TLSSession(contexts), ssl.create_default_context())  # which does not trust the certificate
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    with pytest.raises(TLSError, match="unknown ca"):
        client.session.receive(client.outgoing.read())


def test_an_error_that_others_left_with_openssl_is_not_taken_for_the_peers(
    contexts: TLSContexts, trusting: Trusting
) -> None:
    client = Client(TLSSession(contexts), trusting()).handshake()
    record = client.encrypt(b"<a/>")
    tls._lib.ERR_put_error(20, 0, 1, b"elsewhere", 1)
    assert client.session.receive(record[:7]) == b""
    assert client.session.receive(record[7:]) == b"<a/>"
    tls._lib.ERR_clear_error()


def test_renegotiation_is_refused(contexts: TLSContexts) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_options(SSL.OP_NO_TLSv1_3)
    client = SSL.Connection(context, None)
    session = handshake_with_pyopenssl(contexts, client)
    client.renegotiate()
    with contextlib.suppress(SSL.WantReadError):
        client.do_handshake()
    assert session.receive(client.bio_read(65536)) == b""
    client.bio_write(session.data_to_send())
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


def handshake_with_pyopenssl(contexts: TLSContexts, client: SSL.Connection) -> TLSSession:
    session = TLSSession(contexts)
    client.set_connect_state()
    while True:
        done = session.handshake_done
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            session.receive(client.bio_read(65536))
        if output := session.data_to_send():
            client.bio_write(output)
        if done:
            return session


# RFC 9266 §2: label EXPORTER-Channel-Binding, a zero-length context, 32 bytes.
@pytest.mark.parametrize("excluded", [SSL.OP_NO_TLSv1_3, SSL.OP_NO_TLSv1_2])
def test_the_exporter_binding_is_the_same_at_both_ends(contexts: TLSContexts, excluded: int) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_options(excluded)
    client = SSL.Connection(context, None)
    session = handshake_with_pyopenssl(contexts, client)
    bindings = session.channel_bindings()
    assert list(bindings) == ["tls-exporter", "tls-server-end-point"]
    assert bindings["tls-exporter"] == client.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")


# RFC 9266 §4.2: without the extended master secret an attacker can make two sessions export the same.
def test_there_is_no_exporter_binding_without_the_extended_master_secret(contexts: TLSContexts) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_options(SSL.OP_NO_TLSv1_3 | 0x1)  # SSL_OP_NO_EXTENDED_MASTER_SECRET
    session = handshake_with_pyopenssl(contexts, SSL.Connection(context, None))
    assert list(session.channel_bindings()) == ["tls-server-end-point"]


@VERSIONS
def test_the_protocol_of_the_port_is_agreed_on(
    contexts: TLSContexts, trusting: Trusting, version: ssl.TLSVersion
) -> None:
    session = TLSSession(contexts, alpn=DIRECT)
    client = Client(session, trusting(["h2", "xmpp-client"], version)).handshake()
    assert session.alpn == client.tls.selected_alpn_protocol() == "xmpp-client"


@pytest.mark.parametrize("offered", [["h2"], ["xmpp-server"], ["xmpp-clien"], ["xmpp-client2"]])
def test_a_client_of_another_protocol_is_refused(contexts: TLSContexts, trusting: Trusting, offered: list[str]) -> None:
    session = TLSSession(contexts, alpn=DIRECT)
    client = Client(session, trusting(offered))
    with pytest.raises(TLSError):
        client.handshake()
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        client.tls.do_handshake()


def test_a_client_that_names_no_protocol_is_served(contexts: TLSContexts, trusting: Trusting) -> None:
    session = TLSSession(contexts, alpn=DIRECT)
    Client(session, trusting()).handshake()
    assert session.alpn == ""


def test_after_starttls_the_protocols_offered_are_ignored(contexts: TLSContexts, trusting: Trusting) -> None:
    session = TLSSession(contexts)
    client = Client(session, trusting(["h2"])).handshake()
    assert session.alpn == ""
    assert client.tls.selected_alpn_protocol() is None


@VERSIONS
def test_each_host_is_served_with_its_own_certificate(tmp_path: Path, version: ssl.TLSVersion) -> None:
    a, b = generate("a.example", tmp_path), generate("b.example", tmp_path)
    contexts = TLSContexts({"a.example": a.files, "b.example": b.files})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version

    def served(name: str | None, host: str = "") -> Certificate:
        client = Client(TLSSession(contexts, host=host), context, name).handshake()
        der = client.tls.getpeercert(binary_form=True)
        assert client.session.channel_bindings()["tls-server-end-point"] == client.session.certificate.end_point
        return next(one for one in (a, b) if one.leaf == client.session.certificate.leaf and fingerprint(one) == der)

    assert served("a.example") == a
    assert served("B.example") == b
    assert served("rooms.b.example") == b
    assert served("elsewhere.example") == a
    assert served(None) == a
    assert served(None, host="b.example") == b
    assert served("elsewhere.example", host="b.example") == b
    assert served("a.example", host="b.example") == a


def fingerprint(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.files.chain.read_text())


def test_a_session_keeps_its_certificate_when_another_is_loaded(tmp_path: Path) -> None:
    old = generate("a.example", tmp_path)
    contexts = TLSContexts({"a.example": old.files})
    context = ssl.create_default_context(cafile=str(old.files.chain))
    client = Client(TLSSession(contexts), context).handshake()
    half_way = TLSSession(contexts)
    other = Client(half_way, context)
    with pytest.raises(ssl.SSLWantReadError):
        other.tls.do_handshake()
    generate("a.example", tmp_path)
    contexts.reload()
    assert client.session.receive(client.encrypt(b"<a/>")) == b"<a/>"
    assert client.session.channel_bindings()["tls-server-end-point"] == old.end_point
    with pytest.raises(ssl.SSLCertVerificationError):
        other.handshake()


def test_the_session_needs_no_socket(
    contexts: TLSContexts, trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    Client(TLSSession(contexts), trusting()).handshake()
