"""How a node is configured (XEP-0060 §8.2): as it is kept, as a form, as preconditions of a publication (§7.1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, FormKind, boolean

from .errors import NS, refuse, unsupported

NODE_CONFIG: Final = f"{NS}#node_config"
PUBLISH_OPTIONS: Final = f"{NS}#publish-options"
META_DATA: Final = f"{NS}#meta-data"
_VALIDATE: Final = "http://jabber.org/protocol/xdata-validate"
MAX: Final = -1
"""`max_items` where the node is to keep as many as the server allows."""
_LONGEST: Final = 1024
_YEAR: Final = 366 * 24 * 3600


class NodeConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The configuration of a node, by the names of its fields in the form less `pubsub#`."""

    title: str = ""
    description: str = ""
    type: str = ""
    max_items: int = 1
    persist_items: bool = True
    access_model: str = "open"
    roster_groups_allowed: tuple[str, ...] = ()
    publish_model: str = "publishers"
    send_last_published_item: str = "never"
    deliver_notifications: bool = True
    deliver_payloads: bool = True
    notification_type: str = "headline"
    notify_delete: bool = True
    notify_retract: bool = True
    itemreply: str = "none"
    max_payload_size: int = 0
    item_expire: int = 0
    notify_config: bool = False
    notify_sub: bool = False
    subscribe: bool = True
    presence_based_delivery: bool = False
    node_type: str = "leaf"
    children_association_policy: str = "owners"
    children_association_whitelist: tuple[str, ...] = ()
    children_max: int = 0

    def to_bytes(self) -> bytes:
        """As it is kept."""
        return _encoder.encode(self)

    @staticmethod
    def of(data: bytes) -> NodeConfig:
        """From what was kept."""
        return _decoder.decode(data)

    @property
    def is_collection(self) -> bool:
        """Whether other nodes are in it, and no items (XEP-0248)."""
        return self.node_type == "collection"

    def keep(self, most: int) -> int:
        """How many items are kept, of which the server allows `most`."""
        if not self.persist_items or self.is_collection:
            return 0
        return most if self.max_items == MAX else min(self.max_items, most)

    def since(self, now: int) -> int:
        """The time (microseconds) before which items have expired; 0 if they do not."""
        return now - self.item_expire * 1_000_000 if self.item_expire else 0


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(NodeConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of the form: `choices` are (value, label); `more` is one that is shown only where it matters, `of` the
    kind of node that it is for, if it is not for both."""

    name: str
    label: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    more: bool = False
    of: Literal["", "leaf", "collection"] = ""


def _same(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value) for value in values)


# The order and the labels are those of Prosody, whose plays compare the form with theirs, character by character. They
# know 15 fields, so the others are shown to who asks for the default, and where they have another value.
SETTINGS: Final = (
    Setting("title", "Title"),
    Setting("description", "Description"),
    Setting("type", "The type of node data, usually specified by the namespace of the payload (if any)"),
    Setting("max_items", "Max # of items to persist", of="leaf"),
    Setting("persist_items", "Persist items to storage", of="leaf"),
    Setting(
        "access_model",
        "Specify the subscriber model",
        _same("authorize", "open", "presence", "roster", "whitelist"),
    ),
    Setting("roster_groups_allowed", "Roster groups allowed to subscribe"),
    Setting("publish_model", "Specify the publisher model", _same("publishers", "subscribers", "open"), of="leaf"),
    Setting("send_last_published_item", choices=_same("never", "on_sub", "on_sub_and_presence"), of="leaf"),
    Setting("deliver_notifications", "Whether to deliver event notifications"),
    Setting("deliver_payloads", "Whether to deliver payloads with event notifications", of="leaf"),
    Setting(
        "notification_type",
        "Specify the delivery style for notifications",
        (("normal", "Messages of type normal"), ("headline", "Messages of type headline")),
    ),
    Setting("notify_delete", "Whether to notify subscribers when the node is deleted"),
    Setting("notify_retract", "Whether to notify subscribers when items are removed from the node", of="leaf"),
    Setting(
        "itemreply",
        "Specify whose JID to include as the publisher of items",
        (
            ("owner", "Include the node owner's JID"),
            ("publisher", "Include the item publisher's JID"),
            ("none", "Don't include any JID with items"),
        ),
        of="leaf",
    ),
    Setting("max_payload_size", "The maximum payload size in bytes", more=True, of="leaf"),
    Setting("item_expire", "Number of seconds after which to automatically purge items", more=True, of="leaf"),
    Setting("notify_config", "Whether to notify subscribers when the node configuration changes", more=True),
    Setting("notify_sub", "Whether to notify owners about new subscribers and unsubscribes", more=True),
    Setting("subscribe", "Whether to allow subscriptions", more=True),
    Setting("presence_based_delivery", "Whether to deliver notifications to available users only", more=True),
    # XEP-0248 §7.2.1
    Setting(
        "node_type",
        "Whether the node is a leaf (default) or a collection",
        (("leaf", "The node contains items"), ("collection", "The node contains other nodes")),
        more=True,
    ),
    Setting(
        "children_association_policy",
        "Who may associate nodes with this collection",
        (
            ("owners", "Only the owners of this node"),
            ("whitelist", "Only those on the children association whitelist"),
            ("all", "Anyone"),
        ),
        of="collection",
    ),
    Setting("children_association_whitelist", "JIDs who can associate nodes to this collection", of="collection"),
    Setting("children_max", "The maximum number of children for this collection", of="collection"),
)
_COLLECTIONS: Final = frozenset({"node_type"} | {setting.name for setting in SETTINGS if setting.of == "collection"})
_KNOWN: Final = frozenset(f"pubsub#{setting.name}" for setting in SETTINGS if setting.name not in _COLLECTIONS)
"""What a publication may ask for: it makes leaves."""
_INITIAL: Final = NodeConfig()
PARENTS: Final = "pubsub#collection"
CHILDREN: Final = "pubsub#children"


# Fields of the registry that ask for what is not done, with the values that ask for nothing.
_WITHOUT_COLLECTIONS: Final = {PARENTS: {""}, CHILDREN: {""}, "pubsub#node_type": {"", "leaf"}}
_UNWANTED: Final = {
    "pubsub#publish_node_full": {"", "retract-oldest", "discard-oldest"},
    "pubsub#purge_offline": {"", "0", "false"},
    "pubsub#tempsub": {"", "0", "false"},
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a service allows: so many `items` at a node, `octets` of a payload and `children` of a collection, of which
    it has none with 0, and whether it knows presence."""

    items: int
    octets: int
    presence: bool
    children: int = 0


def form(
    config: NodeConfig,
    bounds: Bounds,
    *,
    kind: FormKind = "form",
    whole: bool = False,
    parents: Sequence[str] = (),
    children: Sequence[str] = (),
) -> Form:
    """The form in which an owner changes the configuration (§8.2.1); `whole`: with all fields that there are for a node
    of its kind. `parents` and `children` is where it is among collections (XEP-0248 §7.2.1)."""
    shown = (each for each in SETTINGS if not each.more or whole or _differs(config, each.name))
    kinds = ("", config.node_type)
    fields = [_field(config, each, bounds) for each in shown if _is_known(each.name, bounds) and each.of in kinds]
    if bounds.children and (whole or parents or config.is_collection):
        fields.append(Field(PARENTS, tuple(parents), "text-multi", "The collections of which this node is a child"))
    if bounds.children and config.is_collection:
        fields.append(Field(CHILDREN, tuple(children), "text-multi", "The nodes of which this node is a parent"))
    return Form.of(kind, NODE_CONFIG, *fields)


def _differs(config: NodeConfig, name: str) -> bool:
    return bool(getattr(config, name) != getattr(_INITIAL, name))


def _is_known(name: str, bounds: Bounds) -> bool:
    if name in _COLLECTIONS:
        return bounds.children > 0
    return bounds.presence or name != "presence_based_delivery"


def _field(config: NodeConfig, setting: Setting, bounds: Bounds) -> Field:
    var, value, label = f"pubsub#{setting.name}", getattr(config, setting.name), setting.label
    if setting.name == "max_items":
        validate = Element(_VALIDATE, "validate", {"datatype": "pubsub:integer-or-max"})
        validate.add(Element(_VALIDATE, "range", {"min": "1", "max": str(bounds.items)}))
        return Field(var, ("max" if value == MAX else str(value),), "text-single", label, validate=validate)
    if setting.name == "item_expire":
        return Field(var, (str(value) if value else "max",), "text-single", label)
    if setting.name == "max_payload_size":
        return Field(var, (str(value or bounds.octets),), "text-single", label)
    if setting.name == "children_max":
        return Field(var, (str(value or bounds.children),), "text-single", label)
    if setting.name == "children_association_whitelist":
        return Field(var, value, "jid-multi", label)
    if setting.choices:
        return Field(var, (value,), "list-single", label, setting.choices)
    if isinstance(value, bool):
        return boolean(var, value, label)
    if isinstance(value, tuple):
        return Field(var, value, "list-multi", label, tuple((group, "") for group in value))
    return Field(var, (value,) if value else (), "text-single", label)


def changed(config: NodeConfig, submitted: Form, bounds: Bounds) -> NodeConfig:
    """The configuration that a submitted form makes of this one.

    Raises StanzaError not-acceptable for a value that is not allowed (§8.2.4), feature-not-implemented for a collection
    where there are none (XEP-0248 §7.1.3.1), not-allowed for a leaf that was a collection (XEP-0248 §7.2.3.4).
    """
    for field in submitted.fields:
        if field.var in _UNWANTED and not _UNWANTED[field.var].issuperset(field.values):
            raise StanzaError("not-acceptable", f"{field.var} cannot be {field.values[0][:_LONGEST]}.")
        allowed = _WITHOUT_COLLECTIONS.get(field.var)
        if allowed is not None and not bounds.children and not allowed.issuperset(field.values):
            raise unsupported("collections")
    after = msgspec.structs.replace(config, **_values(config, submitted, bounds))
    if config.is_collection and not after.is_collection:
        raise refuse("not-allowed", "invalid-options")
    return after


def _values(config: NodeConfig, submitted: Form, bounds: Bounds) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        name, var, old = setting.name, f"pubsub#{setting.name}", getattr(config, setting.name)
        if submitted.get(var) is None or not _is_known(name, bounds):
            continue
        if name in ("max_items", "item_expire") and submitted.text(var).strip() == "max":
            values[name] = MAX if name == "max_items" else 0
        elif name == "max_items":
            values[name] = submitted.number(var, 1, 1, bounds.items)
        elif name == "item_expire":
            values[name] = submitted.number(var, 0, 0, 100 * _YEAR)
        elif name == "max_payload_size":
            values[name] = submitted.number(var, 0, 0, bounds.octets)
        elif name == "children_max":
            values[name] = submitted.number(var, 0, 0, bounds.children)
        elif name == "children_association_whitelist":
            values[name] = tuple(str(jid.bare) for jid in submitted.jids(var))
        elif setting.choices:
            values[name] = submitted.choice(var, dict(setting.choices), old)
        elif isinstance(old, bool):
            values[name] = submitted.boolean(var)
        elif isinstance(old, tuple):
            values[name] = tuple(submitted.texts(var))
        else:
            values[name] = submitted.text(var)[:_LONGEST]
    return values


def check(config: NodeConfig, options: Form, bounds: Bounds) -> None:
    """Raises StanzaError conflict with precondition-not-met unless the node is as the publisher wants it (§7.1.5)."""
    expect_known(options)
    try:
        wanted = _values(config, options, bounds)
    except StanzaError as error:
        raise refuse("conflict", "precondition-not-met", text=error.text) from error
    for name, value in wanted.items():
        here = getattr(config, name)
        if name == "max_items":
            here, value = (bounds.items if number == MAX else number for number in (here, value))
        if here != value:
            raise _not_met(name)


def expect_known(options: Form) -> None:
    """Raises StanzaError as `check` does for a condition that is not known."""
    for field in options.fields:
        if field.var.startswith("pubsub#") and field.var not in _KNOWN:
            raise _not_met(field.var)


def _not_met(name: str) -> StanzaError:
    return refuse("conflict", "precondition-not-met", text=f"Field does not match: {name.removeprefix('pubsub#')}")


def meta_data(config: NodeConfig, owners: Sequence[str], publishers: Sequence[str], subscribers: int) -> Form:
    """What is told of the node to everybody who may read it (§5.4)."""
    fields = [
        Field("pubsub#title", (config.title,), "text-single", "A short name for the node"),
        Field("pubsub#description", (config.description,), "text-single", "A description of the node"),
        Field("pubsub#type", (config.type,), "text-single", "Payload semantic type information"),
        Field("pubsub#access_model", (config.access_model,), "list-single", "Access model"),
        Field("pubsub#publish_model", (config.publish_model,), "list-single", "Publish model"),
        Field(
            "pubsub#max_items",
            ("max" if config.max_items == MAX else str(config.max_items),),
            "text-single",
            "Max # of items to persist",
        ),
        Field("pubsub#owner", tuple(owners), "jid-multi", "Node owners"),
        Field("pubsub#publisher", tuple(publishers), "jid-multi", "Publishers to this node"),
        Field("pubsub#num_subscribers", (str(subscribers),), "text-single", "Number of subscribers to this node"),
    ]
    return Form.of("result", META_DATA, *fields)
