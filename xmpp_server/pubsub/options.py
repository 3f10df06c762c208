"""Options of a subscription (XEP-0060 §6.3): as they are kept, and as a form."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from xmpp_server.protocol.delay import format_time, parse_time
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, FormKind, boolean
from xmpp_server.storage.pubsub_tables import Subscription

from .errors import NS, refuse

SUBSCRIBE_OPTIONS: Final = f"{NS}#subscribe_options"
About = Literal["items", "nodes"]
"""Of what a notification tells."""
_TYPES: Final = {
    "items": "Receive notification of items only",
    "nodes": "Receive notification of nodes only",
    "all": "Receive notification of items and nodes",
}
_ALL: Final = -1
_DEEPEST: Final = 1_000_000
_SHOWS: Final = {
    "away": "XMPP Show Value of Away",
    "chat": "XMPP Show Value of Chat",
    "dnd": "XMPP Show Value of DND (Do Not Disturb)",
    "online": "Mere Availability in XMPP (No Show Value)",
    "xa": "XMPP Show Value of XA (Extended Away)",
}


class SubscriptionOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """`deliver`: whether notifications are sent; `expire`: when the subscription ends (microseconds), 0 if it does not;
    `shows`: in which states of presence the subscriber is notified, empty for all and also while away. Of a collection
    (XEP-0248 §6.1) `type` is what of the nodes in it is notified, and `depth` how far below it (-1: however far)."""

    deliver: bool = True
    expire: int = 0
    shows: tuple[str, ...] = ()
    type: str = "nodes"
    depth: int = 1

    def to_bytes(self) -> bytes:
        """As they are kept."""
        return _encoder.encode(self) if self != _INITIAL else b""

    @staticmethod
    def of(subscription: Subscription) -> SubscriptionOptions:
        """From what was kept."""
        return _decoder.decode(subscription.options) if subscription.options else _INITIAL

    def reaches(self, about: About, steps: int) -> bool:
        """Whether the subscriber of a collection is notified of this about a node so many steps below it."""
        return self.type in (about, "all") and (self.depth == _ALL or steps <= self.depth)

    def has_expired(self, now: int) -> bool:
        """Whether the lease has ended (§12.19)."""
        return 0 < self.expire <= now


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(SubscriptionOptions)
_INITIAL: Final = SubscriptionOptions()


def form(options: SubscriptionOptions, *, presence: bool, collection: bool = False, kind: FormKind = "form") -> Form:
    """What a subscriber of a leaf or a collection may choose; states of presence only where the service knows them."""
    expire = (format_time(options.expire),) if options.expire else ()
    fields = [
        boolean("pubsub#deliver", options.deliver, "Whether to receive notifications"),
        Field("pubsub#expire", expire, "text-single", "The DateTime at which the subscription ends"),
    ]
    if presence:
        choices = tuple(_SHOWS.items())
        label = "The presence states for which to receive notifications"
        fields.append(Field("pubsub#show-values", options.shows, "list-multi", label, choices))
    if collection:
        label = "What to be notified of"
        depth = ("all" if options.depth == _ALL else str(options.depth),)
        label_of_depth = "How far to traverse the node graph for notifications"
        fields.append(Field("pubsub#subscription_type", (options.type,), "list-single", label, tuple(_TYPES.items())))
        fields.append(Field("pubsub#subscription_depth", depth, "text-single", label_of_depth))
    return Form.of(kind, SUBSCRIBE_OPTIONS, *fields)


def changed(
    options: SubscriptionOptions, submitted: Form, *, presence: bool, collection: bool = False, now: int
) -> SubscriptionOptions:
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
    type, depth = _below(options, submitted) if collection else (options.type, options.depth)
    return SubscriptionOptions(deliver, _expire(options, submitted, now), shows, type, depth)


def _below(options: SubscriptionOptions, submitted: Form) -> tuple[str, int]:
    try:
        type = submitted.choice("pubsub#subscription_type", _TYPES, options.type)
        if submitted.text("pubsub#subscription_depth").strip() == "all":
            return type, _ALL
        if submitted.get("pubsub#subscription_depth") is None:
            return type, options.depth
        return type, submitted.number("pubsub#subscription_depth", 1, 0, _DEEPEST)
    except StanzaError as error:
        raise _invalid(error.text) from error


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
