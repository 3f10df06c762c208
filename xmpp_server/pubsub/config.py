"""How a node is configured (XEP-0060 §8.2): as it is kept, as a form, as preconditions of a publication (§7.1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean

from .errors import NS, refuse

NODE_CONFIG: Final = f"{NS}#node_config"
PUBLISH_OPTIONS: Final = f"{NS}#publish-options"
META_DATA: Final = f"{NS}#meta-data"
MAX: Final = -1
"""`max_items` where the node is to keep as many as the server allows."""

ACCESS_MODELS: Final[Sequence[str]] = ("authorize", "open", "presence", "roster", "whitelist")
SERVICE_ACCESS_MODELS: Final[Sequence[str]] = ("authorize", "open", "whitelist")
PUBLISH_MODELS: Final = ("publishers", "subscribers", "open")
SEND_LAST: Final = ("never", "on_sub", "on_sub_and_presence")
TYPES: Final = ("headline", "normal", "chat")
_LONGEST: Final = 1024
_CHOICES: Final = {
    "access_model": ACCESS_MODELS,
    "publish_model": PUBLISH_MODELS,
    "send_last_published_item": SEND_LAST,
    "notification_type": TYPES,
}


class NodeConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The configuration of a node, by the names of its fields in the form less `pubsub#`."""

    title: str = ""
    description: str = ""
    type: str = ""
    deliver_notifications: bool = True
    deliver_payloads: bool = True
    persist_items: bool = True
    max_items: int = 1
    max_payload_size: int = 0
    access_model: str = "open"
    roster_groups_allowed: tuple[str, ...] = ()
    publish_model: str = "publishers"
    notify_config: bool = False
    notify_delete: bool = True
    notify_retract: bool = True
    send_last_published_item: str = "never"
    notification_type: str = "headline"

    def to_bytes(self) -> bytes:
        """As it is kept."""
        return _encoder.encode(self)

    @staticmethod
    def of(data: bytes) -> NodeConfig:
        """From what was kept."""
        return _decoder.decode(data)

    def keep(self, most: int) -> int:
        """How many items are kept, of which the server allows `most`."""
        if not self.persist_items:
            return 0
        return most if self.max_items == MAX else min(self.max_items, most)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(NodeConfig)
_LABELS: Final = {
    "title": "A short name",
    "description": "What it is for",
    "type": "The namespace of its payloads",
    "deliver_notifications": "Notify subscribers",
    "deliver_payloads": "Notify with payloads",
    "persist_items": "Keep items",
    "max_items": "How many items are kept",
    "max_payload_size": "The most octets of a payload",
    "access_model": "Who may subscribe and read",
    "roster_groups_allowed": "Groups of the roster whose contacts may subscribe and read",
    "publish_model": "Who may publish",
    "notify_config": "Notify of another configuration",
    "notify_delete": "Notify when the node is deleted",
    "notify_retract": "Notify when items are removed",
    "send_last_published_item": "When the last item is sent",
    "notification_type": "The type of notifications",
}


def form(config: NodeConfig, models: Sequence[str]) -> Form:
    """The form in which an owner changes the configuration (§8.2.1)."""
    return Form.of("form", NODE_CONFIG, *_fields(config, models))


def _fields(config: NodeConfig, models: Sequence[str]) -> list[Field]:
    fields = []
    for name, label in _LABELS.items():
        var, value = f"pubsub#{name}", getattr(config, name)
        if name == "max_items":
            fields.append(Field(var, ("max" if value == MAX else str(value),), "text-single", label))
        elif name in _CHOICES:
            choices = models if name == "access_model" else _CHOICES[name]
            fields.append(Field(var, (value,), "list-single", label, tuple((choice, "") for choice in choices)))
        elif isinstance(value, bool):
            fields.append(boolean(var, value, label))
        elif isinstance(value, tuple):
            fields.append(Field(var, value, "list-multi", label, tuple((group, "") for group in value)))
        else:
            fields.append(Field(var, (str(value),), "text-single", label))
    return fields


def changed(config: NodeConfig, submitted: Form, models: Sequence[str], most: int, largest: int) -> NodeConfig:
    """The configuration that a submitted form makes of this one. `most` items and `largest` octets are allowed.

    Raises StanzaError not-acceptable for a value that is not allowed (§8.2.4).
    """
    return msgspec.structs.replace(config, **_values(config, submitted, models, most, largest))


def _values(config: NodeConfig, submitted: Form, models: Sequence[str], most: int, largest: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _LABELS:
        var, old = f"pubsub#{name}", getattr(config, name)
        if submitted.get(var) is None:
            continue
        if name == "max_items":
            is_max = submitted.text(var).strip() == "max"
            values[name] = MAX if is_max else submitted.number(var, 1, 1, most)
        elif name == "max_payload_size":
            values[name] = submitted.number(var, 0, 0, largest)
        elif name in _CHOICES:
            values[name] = submitted.choice(var, models if name == "access_model" else _CHOICES[name], old)
        elif isinstance(old, bool):
            values[name] = submitted.boolean(var)
        elif isinstance(old, tuple):
            values[name] = tuple(submitted.texts(var))
        else:
            values[name] = submitted.text(var)[:_LONGEST]
    return values


def check(config: NodeConfig, options: Form, models: Sequence[str], most: int, largest: int) -> None:
    """Raises StanzaError conflict with precondition-not-met unless the node is as the publisher wants it (§7.1.5)."""
    known = {f"pubsub#{name}" for name in _LABELS}
    for field in options.fields:
        if field.var.startswith("pubsub#") and field.var not in known:
            raise refuse("conflict", "precondition-not-met", text=f"{field.var} is not known.")
    try:
        wanted = _values(config, options, models, most, largest)
    except StanzaError as error:
        raise refuse("conflict", "precondition-not-met", text=error.text) from error
    for name, value in wanted.items():
        here = getattr(config, name)
        if name == "max_items":
            here, value = (most if number == MAX else number for number in (here, value))
        if here != value:
            raise refuse("conflict", "precondition-not-met", text=f"pubsub#{name} of the node has another value.")


def meta_data(config: NodeConfig, owners: Sequence[str], subscribers: int) -> Form:
    """What is told of the node to everybody who may read it (§5.4)."""
    fields = [
        Field("pubsub#title", (config.title,), "text-single"),
        Field("pubsub#description", (config.description,), "text-single"),
        Field("pubsub#type", (config.type,), "text-single"),
        Field("pubsub#access_model", (config.access_model,), "list-single"),
        Field("pubsub#publish_model", (config.publish_model,), "list-single"),
        Field("pubsub#num_subscribers", (str(subscribers),), "text-single"),
        Field("pubsub#owner", tuple(owners), "jid-multi"),
    ]
    return Form.of("result", META_DATA, *fields)
