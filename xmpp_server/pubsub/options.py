"""Options of a subscription (XEP-0060 §6.3): as they are kept, and as a form."""

from __future__ import annotations

from typing import Final

import msgspec

from xmpp_server.protocol.delay import format_time, parse_time
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, FormKind, boolean
from xmpp_server.storage.pubsub_tables import Subscription

from .errors import NS, refuse

SUBSCRIBE_OPTIONS: Final = f"{NS}#subscribe_options"
_SHOWS: Final = {
    "away": "XMPP Show Value of Away",
    "chat": "XMPP Show Value of Chat",
    "dnd": "XMPP Show Value of DND (Do Not Disturb)",
    "online": "Mere Availability in XMPP (No Show Value)",
    "xa": "XMPP Show Value of XA (Extended Away)",
}


class SubscriptionOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """`deliver`: whether notifications are sent; `expire`: when the subscription ends (microseconds), 0 if it does not;
    `shows`: in which states of presence the subscriber is notified, empty for all and also while away."""

    deliver: bool = True
    expire: int = 0
    shows: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """As they are kept."""
        return _encoder.encode(self) if self != _INITIAL else b""

    @staticmethod
    def of(subscription: Subscription) -> SubscriptionOptions:
        """From what was kept."""
        return _decoder.decode(subscription.options) if subscription.options else _INITIAL

    def has_expired(self, now: int) -> bool:
        """Whether the lease has ended (§12.19)."""
        return 0 < self.expire <= now


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(SubscriptionOptions)
_INITIAL: Final = SubscriptionOptions()


def form(options: SubscriptionOptions, *, presence: bool, kind: FormKind = "form") -> Form:
    """What a subscriber may choose; states of presence only where the service knows them."""
    expire = (format_time(options.expire),) if options.expire else ()
    fields = [
        boolean("pubsub#deliver", options.deliver, "Whether to receive notifications"),
        Field("pubsub#expire", expire, "text-single", "The DateTime at which the subscription ends"),
    ]
    if presence:
        choices = tuple(_SHOWS.items())
        label = "The presence states for which to receive notifications"
        fields.append(Field("pubsub#show-values", options.shows, "list-multi", label, choices))
    return Form.of(kind, SUBSCRIBE_OPTIONS, *fields)


def changed(options: SubscriptionOptions, submitted: Form, *, presence: bool, now: int) -> SubscriptionOptions:
    """The options that a submitted form makes of these. What we do not do may be given as not wanted.

    Raises StanzaError bad-request with invalid-options (§6.3.6).
    """
    submitted.expect(SUBSCRIBE_OPTIONS)
    try:
        deliver = submitted.boolean("pubsub#deliver", options.deliver)
        unwanted = submitted.boolean("pubsub#digest") or submitted.boolean("pubsub#include_body")
    except StanzaError as error:
        raise _invalid(error.text) from error
    if unwanted:
        raise _invalid("Neither digests nor bodies are sent.")
    shows = options.shows
    if presence:
        shows = tuple(submitted.texts("pubsub#show-values", options.shows))
        if not set(shows) <= _SHOWS.keys():
            raise _invalid("There is no such state of presence.")
    return SubscriptionOptions(deliver, _expire(options, submitted, now), shows)


def _expire(options: SubscriptionOptions, submitted: Form, now: int) -> int:
    if submitted.get("pubsub#expire") is None:
        return options.expire
    text = submitted.text("pubsub#expire").strip()
    if not text:
        return 0
    try:
        expire = parse_time(text)
    except ValueError as error:
        raise _invalid("A subscription ends at a DateTime (XEP-0082).") from error
    if expire <= now:
        raise _invalid("The subscription would have ended already.")
    return expire


def _invalid(text: str) -> StanzaError:
    return refuse("bad-request", "invalid-options", text=text)
