"""A client's stream, from the server's side: header, STARTTLS, SASL, bind (RFC 6120 §4 to §7), without a socket.

The driver feeds `receive_data`, takes `next_event` until there is none, does what the event asks for and tells the
answer, and sends what `data_to_send` gives. Each answer is legal in one state only; while one is due, no further event
comes. What is legal in which state stands in `states.py`, and nowhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from xmpp_server.protocol import ns
from xmpp_server.protocol.credentials import Credentials
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza, qname

from . import management, sasl
from .events import (
    Acknowledgement,
    Authenticated,
    AuthenticationFailed,
    Bind,
    Early,
    Enable,
    Ended,
    Event,
    NeedCredentials,
    NeedWork,
    Nonza,
    Opened,
    Request,
    Resume,
    StartTLS,
)
from .features import features
from .framing import Framer, Limits, Malformed, StreamClosed, StreamOpened
from .states import ANSWERS, TRANSITIONS, State, TooLateError


@dataclass(frozen=True, slots=True)
class Settings:
    """What all streams of a server share. `secret` gives unknown names a stable salt (32 octets)."""

    secret: bytes = field(repr=False)
    before: Limits
    """Limits before authentication."""
    after: Limits
    iterations: int = sasl.ITERATIONS
    attempts: int = 5
    """Failed authentications on one stream before it is closed."""
    domain: str = ""
    """The host that answers a stream which is in error before it has named one (RFC 6120 §4.9.1.2)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """How a stream to a host of ours goes on. `features` are offered after those of the stream itself; let them be the
    same objects each time, for what is written of them is remembered."""

    domain: str
    tls: bool = False
    """Whether STARTTLS is possible."""
    tls_required: bool = False
    plain_without_tls: bool = False
    features: tuple[Element, ...] = ()


class AnyFramer(Protocol):
    """What turns a peer's bytes into events: `Framer`, or `WebSocketFramer` where each message is an element."""

    limits: Limits

    @property
    def pending(self) -> bool: ...

    def feed(self, data: bytes, /) -> None: ...

    def next_event(self) -> StreamOpened | StreamClosed | Stanza | Malformed | Element | None: ...

    def restart(self) -> None: ...


class Words(Protocol):
    """How a stream's own begin and end are written."""

    @property
    def end(self) -> bytes: ...

    def header(self, domain: str, id: str) -> bytes: ...


class StreamWords:
    """The tags of RFC 6120 §4.7."""

    end: Final = b"</stream:stream>"

    @staticmethod
    def header(domain: str, id: str) -> bytes:
        """Our start tag."""
        return (
            f"<?xml version='1.0'?><stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}' "
            f"id='{id}' from='{domain}' version='1.0' xml:lang='en'>"
        ).encode()


_INPUTS: Final[dict[str, str]] = {
    qname(ns.TLS, "starttls"): "starttls",
    qname(ns.SASL, "auth"): "auth",
    qname(ns.SASL, "response"): "response",
    qname(ns.SASL, "abort"): "abort",
}
_INPUTS.update({qname(uri, name): name for uri in management.NAMESPACES for name in ("enable", "resume", "r", "a")})
_BIND: Final = qname(ns.BIND, "bind")
_REQUEST: Final = Request()
_TAGS: Final = StreamWords()


class C2SStream:
    """One stream. `encrypted` is true from the start for direct TLS, whose bindings are given then. `framer` and
    `words` are those of another transport than TCP."""

    __slots__ = (
        "_attempts",
        "_bind_id",
        "_bindings",
        "_exchange",
        "_failure",
        "_framer",
        "_header_sent",
        "_localpart",
        "_managed",
        "_mechanisms",
        "_offer",
        "_out",
        "_settings",
        "_words",
        "account",
        "encrypted",
        "lang",
        "state",
    )

    def __init__(
        self,
        settings: Settings,
        bindings: Mapping[str, bytes] | None = None,
        framer: AnyFramer | None = None,
        words: Words = _TAGS,
    ) -> None:
        self._settings = settings
        self._framer: AnyFramer = framer or Framer(settings.before)
        self._words = words
        self._bindings: Mapping[str, bytes] = bindings or {}
        self.encrypted = bindings is not None
        self.state = State.OPENING
        self.account: JID | None = None
        self.lang = ""
        self._offer: Offer | None = None
        self._exchange: sasl.Exchange | None = None
        self._mechanisms: list[str] = []
        self._localpart = ""
        self._failure: sasl.Failed | None = None
        self._attempts = 0
        self._bind_id = ""
        self._managed = ""
        """The version of stream management that is spoken, or was asked for; empty: none."""
        self._header_sent = False
        self._out: list[bytes] = []

    # -- bytes and events

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._framer.feed(data)

    def data_to_send(self) -> bytes:
        """What the stream itself has to send, once."""
        return b"".join(self.parts_to_send())

    def parts_to_send(self) -> list[bytes]:
        """The same in parts: a header, an end, or one element each."""
        parts, self._out = self._out, []
        return parts

    def next_event(self) -> Event | None:
        """The next event, or None: more data or an answer is due. What is wrong with the client's bytes closes the
        stream with the error that RFC 6120 names, and is an `Ended`."""
        try:
            while self.state is State.BOUND:
                event = self._framer.next_event()
                if event is None or type(event) is Stanza:
                    return event
                taken = self._take(event)
                if taken is not None:
                    return taken
            while self.state not in ANSWERS and self.state is not State.CLOSED:
                event = self._framer.next_event()
                if event is None:
                    return None
                taken = self._take(event)
                if taken is not None:
                    return taken
        except StreamError as error:
            self.close(error)
            return Ended()
        return None

    def _take(self, event: StreamOpened | StreamClosed | Stanza | Malformed | Element) -> Event | None:
        if isinstance(event, StreamClosed):
            self.close()
            return Ended()
        if self.state is State.BOUND and isinstance(event, Malformed):
            return event
        inputs = TRANSITIONS[self.state]
        transition = inputs.get(self._input(event)) or inputs.get("nonza")
        if transition is None:
            raise self._unexpected(event)
        handler, following = transition
        taken: Event | None = getattr(self, handler)(event)
        assert self.state in following or self.state is State.CLOSED, (handler, self.state)
        return taken

    def _input(self, event: StreamOpened | Stanza | Malformed | Element) -> str:
        if isinstance(event, StreamOpened):
            return "header"
        if isinstance(event, Element):
            return _INPUTS.get(qname(event.ns, event.name), "nonza")
        if isinstance(event, Malformed) or event.name != "iq":
            return "stanza"
        if self.account is None:
            return "iq"
        return "bind" if event.type == "set" and [child.key for child in event.children] == [_BIND] else "stanza"

    def _unexpected(self, event: StreamOpened | Stanza | Malformed | Element) -> StreamError:
        if isinstance(event, Element):
            return StreamError("unsupported-stanza-type")
        return StreamError("not-authorized")  # RFC 6120 §4.9.3.12

    # -- header and features

    def _header(self, header: StreamOpened) -> Event:
        self.lang = header.lang
        if header.xmlns != ns.CLIENT:
            raise StreamError("invalid-namespace", f"the content namespace of this stream is {ns.CLIENT}")
        if header.version.partition(".")[0] in ("", "0"):
            raise StreamError("unsupported-version", "version 1.0 is supported")
        to = header.to
        if self.account is not None:
            if to and _domain(to) != self.account.domain:
                raise StreamError("not-authorized", "a stream's domain stays after authentication")
            to = self.account.domain
        self.state = State.ACCEPTING
        return Opened(to)

    def accept(self, offer: Offer) -> None:
        """Answer the header, and offer the features."""
        self._expect("accept")
        self._offer = offer
        self._send_header(offer.domain)
        self._mechanisms = []
        bindings: tuple[str, ...] = ()
        limits = self._settings.after
        if self.account is None:
            limits = self._settings.before
            if self.encrypted or not offer.tls_required:
                bindings = tuple(self._bindings)
                self._mechanisms = sasl.offered(
                    encrypted=self.encrypted, bindings=bindings, plain_without_tls=offer.plain_without_tls
                )
        offered = features(
            offer.features,
            bind=self.account is not None,
            starttls=offer.tls and not self.encrypted and self.account is None,
            tls_required=offer.tls_required,
            mechanisms=tuple(self._mechanisms),
            bindings=bindings,
            max_bytes=limits.max_bytes,
        )
        self._out.append(offered)
        self.state = State.NEGOTIATING

    def refuse(self, domain: str, error: StreamError) -> None:
        """Answer the header in the name of a domain of ours, and close the stream with the error."""
        self._expect("refuse")
        self._send_header(domain)
        self.close(error)

    def _send_header(self, domain: str) -> None:
        self._out.append(self._words.header(domain, secrets.token_urlsafe(12)))
        self._header_sent = True

    # -- STARTTLS (RFC 6120 §5)

    def _starttls(self, _element: Element) -> Event:
        assert self._offer is not None
        if self.encrypted or not self._offer.tls or self.account is not None:
            self._out.append(Element(ns.TLS, "failure").to_bytes())
            raise StreamError("policy-violation", "TLS is not offered here")
        if self._more_was_sent():
            # what came early was not protected by TLS and must not be taken for what is (RFC 6120 §5.4.3.3)
            raise StreamError("policy-violation", "nothing is sent between starttls and the TLS handshake")
        self._out.append(Element(ns.TLS, "proceed").to_bytes())
        self.state = State.SECURING
        return StartTLS()

    def _more_was_sent(self) -> bool:
        # COMPAT(go-sendxmpp, 0.5): a line feed follows its <starttls/>, against RFC 6120 §5.3.3; white space is dropped
        try:
            return self._framer.next_event() is not None or self._framer.pending
        except StreamError:
            return True

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """TLS stands; `bindings` has the data of each channel binding by its type."""
        self._expect("tls_started")
        self._bindings = bindings
        self.encrypted = True
        self._restart()

    def _restart(self) -> None:
        self._framer.restart()
        self._header_sent = False
        self.state = State.OPENING

    # -- SASL (RFC 6120 §6)

    def _auth(self, element: Element) -> Event | None:
        assert self._offer is not None
        mechanism = element.get("mechanism")
        self._localpart = ""
        if self.account is not None:
            raise StreamError("policy-violation", "authenticated already")
        if mechanism not in self._mechanisms:
            condition: sasl.Condition = "invalid-mechanism"
            if not self.encrypted and self._offer.tls_required:
                condition = "encryption-required"
            return self._step(sasl.Failed(condition))
        self._exchange = sasl.Exchange(
            mechanism,
            self._offer.domain,
            offered=self._mechanisms,
            secret=self._settings.secret,
            bindings=self._bindings,
            iterations=self._settings.iterations,
        )
        if not element.text:
            return self._step(self._exchange.start(None))
        return self._decoded(element, self._exchange.start)

    def _response(self, element: Element) -> Event | None:
        assert self._exchange is not None
        return self._decoded(element, self._exchange.respond)

    def _decoded(self, element: Element, use: Callable[[bytes], sasl.Step]) -> Event | None:
        data = sasl.decode(element.text)
        return self._step(data if isinstance(data, sasl.Failed) else use(data))

    def _abort(self, _element: Element) -> Event | None:
        return self._step(sasl.Failed("aborted"))

    def _step(self, step: sasl.Step) -> Event | None:
        assert self._offer is not None
        self.state = State.VERIFYING
        if isinstance(step, sasl.Challenge):
            self._out.append(_sasl("challenge", sasl.encode(step.data)))
            self.state = State.AUTHENTICATING
        elif isinstance(step, sasl.NeedCredentials):
            self._localpart = step.localpart
            return NeedCredentials(self._offer.domain, step.localpart)
        elif isinstance(step, sasl.NeedWork):
            return NeedWork(step)
        elif isinstance(step, sasl.Failed):
            self._exchange = None
            self._failure = step
            return AuthenticationFailed(self._localpart, step.guessed)
        else:
            self._exchange = None
            self.account = JID(step.localpart, self._offer.domain, "")
            self._out.append(_sasl("success", "" if step.data is None else sasl.encode(step.data) or "="))
            self._restart()
            self._framer.limits = self._settings.after
            return Authenticated(self.account)
        return None

    def give_credentials(self, credentials: Credentials | None) -> Event | None:
        """The account's credentials, None if it does not exist; returns the event that follows, if one does."""
        self._expect("give_credentials")
        assert self._exchange is not None
        return self._step(self._exchange.give_credentials(credentials))

    def cannot_verify(self) -> Event | None:
        """The credentials cannot be looked up now; returns the event that follows."""
        self._expect("cannot_verify")
        return self._step(sasl.Failed("temporary-auth-failure"))

    def give_result(self, step: sasl.Succeeded | sasl.Failed) -> Event | None:
        """What the work of NeedWork returned; returns the event that follows."""
        self._expect("give_result")
        return self._step(step)

    def send_failure(self) -> None:
        """Tell the client that authentication failed; the stream is closed after too many attempts (§6.4.5)."""
        self._expect("send_failure")
        failure = self._failure
        assert failure is not None
        element = Element(ns.SASL, "failure", children=[Element(ns.SASL, failure.condition)])
        if failure.text:
            element.add(Element(ns.SASL, "text", {"xml:lang": "en"}, [failure.text]))
        self._out.append(element.to_bytes())
        self._failure = None
        self._attempts += 1
        self.state = State.NEGOTIATING
        if self._attempts >= self._settings.attempts:
            self.close(StreamError("policy-violation", "too many failed attempts to authenticate"))

    # -- before and at bind (RFC 6120 §7)

    def _early(self, stanza: Stanza) -> Event:
        return Early(stanza)

    def reply(self, stanza: Stanza) -> None:
        """Send the answer to an early iq."""
        self._out.append(stanza.to_bytes())

    def _bind(self, stanza: Stanza) -> Event:
        payload = stanza.parse(stanza.children[0])
        self._bind_id = stanza.id
        self.state = State.BINDING
        return Bind(payload.child_text(ns.BIND, "resource"))

    def bound(self, jid: JID) -> None:
        """The client's resource is `jid`."""
        self._expect("bound")
        bind = Element(ns.BIND, "bind", children=[Element(ns.BIND, "jid", children=[str(jid)])])
        self._out.append(Stanza.build("iq", bind, type="result", id=self._bind_id).to_bytes())
        self.state = State.BOUND

    def bind_failed(self, error: StanzaError) -> None:
        """The resource cannot be had; the client may try another."""
        self._expect("bind_failed")
        answer = Stanza.build("iq", error.element(), type="error", id=self._bind_id)
        self._out.append(answer.to_bytes())
        self.state = State.NEGOTIATING

    def _nonza(self, element: Element) -> Event:
        return Nonza(element)

    # -- stream management (XEP-0198)

    def _resume(self, element: Element) -> Event | None:
        h = management.count(element.get("h"))
        previous = element.get("previd")
        if self.account is None:
            self._fail(element, "unexpected-request")
            return None
        if h is None or not previous:
            self._fail(element, "bad-request")
            return None
        self._managed = element.ns
        self.state = State.RESUMING
        return Resume(previous, h)

    def resumed(self, id: str, h: int) -> None:
        """The client has its former session back; `h` is what was handled of what it had sent."""
        self._expect("resumed")
        self._out.append(management.resumed(self._managed, id, h))
        self.state = State.BOUND

    def resume_failed(self, condition: str, h: int | None = None) -> None:
        """There is no such session (any more); of one that is known `h` was handled. The client may bind (§5)."""
        self._expect("resume_failed")
        self._out.append(management.failed(self._managed, condition, h))
        self._managed = ""
        self.state = State.NEGOTIATING

    def _enable(self, element: Element) -> Event | None:
        if self._managed:
            self._fail(element, "unexpected-request")
            raise StreamError("policy-violation", "stream management is enabled already")  # §3
        wants = management.boolean(element.get("resume", "false"))
        most = management.count(element.get("max")) if "max" in element.attrs else None
        if wants is None or ("max" in element.attrs and not most):
            self._fail(element, "bad-request")
            return None
        self._managed = element.ns
        self.state = State.ENABLING
        return Enable(element.ns, wants, most)

    def enabled(self, id: str = "", seconds: int = 0) -> None:
        """From here on both sides count. The stream can be resumed by the id for so many seconds, if one is given."""
        self._expect("enabled")
        self._out.append(management.enabled(self._managed, id, seconds))
        self.state = State.BOUND

    def enable_failed(self, condition: str) -> None:
        """Stream management cannot be had."""
        self._expect("enable_failed")
        self._out.append(management.failed(self._managed, condition))
        self._managed = ""
        self.state = State.BOUND

    def _too_early(self, element: Element) -> None:
        self._fail(element, "unexpected-request")  # §3: a resource is bound first

    def _too_late(self, element: Element) -> None:
        self._fail(element, "unexpected-request")

    def _request(self, element: Element) -> Event | None:
        if not self._managed:
            self._fail(element, "unexpected-request")
            return None
        return _REQUEST

    def _acknowledgement(self, element: Element) -> Event | None:
        if not self._managed:
            self._fail(element, "unexpected-request")
            return None
        h = management.count(element.get("h"))
        if h is None:
            raise StreamError("invalid-xml", "h is a number")
        return Acknowledgement(h)

    def _fail(self, element: Element, condition: str) -> None:
        self._out.append(management.failed(element.ns, condition))

    # -- the end (RFC 6120 §4.4, §4.9)

    def close(self, error: StreamError | None = None) -> None:
        """Close our side of the stream, with an error if there is one; nothing is read from here on."""
        if self.state is State.CLOSED:
            return
        if error is not None:
            if not self._header_sent:
                self._send_header(self._offer.domain if self._offer is not None else self._settings.domain)
            self._out.append(error.element().to_bytes())
        if self._header_sent:
            self._out.append(self._words.end)
        self.state = State.CLOSED
        self._exchange = None

    def _expect(self, answer: str) -> None:
        if self.state is State.CLOSED:
            raise TooLateError(f"{answer} while the stream {self.state.value}")
        if answer not in ANSWERS.get(self.state, ()):
            raise RuntimeError(f"{answer} while the stream {self.state.value}")


def _domain(to: str) -> str:
    try:
        return JID.parse(to).domain
    except InvalidJID:
        return ""


def _sasl(name: str, content: str) -> bytes:
    return Element(ns.SASL, name, children=[content] if content else []).to_bytes()
