"""Who gets a stanza that is addressed to an account of ours: RFC 6121 §8.5 as one pure function.

Where the RFC leaves a choice:

- A chat or normal message to the bare address goes to *all* resources with a priority of zero or more, not to those of
  the highest priority (§8.5.2.1.1; normal: b; chat: a, as b speaks of resources that have opted in, and there is no way
  to: all of them are the most available): every device rings for a call and shows an invitation whether or not it asked
  for carbons and whether or not the message is of a kind that carbons carry. A device stays out with a negative
  priority, and then carbons still serve it. It costs no more: what went out wrapped goes out as it is.
- What cannot be delivered now is kept (§8.5.2.2.1 a); what cannot be kept is answered with an error rather than
  dropped, so that no sender believes in a message that nobody will see. A headline is dropped: pubsub sends many.
- A normal message to a resource that is gone is answered, not given to others or kept: §8.5.3.2.1 allows no more.
- Presence of type error is treated as the presence that it answers: it tells the user's devices that a subscription
  request came back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, Protocol, TypeVar


class Session(Protocol):
    """What the rules see of a connected resource.

    `priority` is that of its presence, -128 to 127, or None while it is connected and not available.
    """

    @property
    def priority(self) -> int | None: ...


class Action(Enum):
    """What becomes of the stanza.

    DELIVER: to the sessions that come with it. REQUEST: to the one session if the sender may know that it is
    there (a subscription to the receiver's presence or directed presence from it: §8.5.3.1, which prevents presence
    leaks), otherwise as ERROR. OFFLINE: keep it, or, where that is impossible, as ERROR. HANDLE: the server
    acts or answers on behalf of the account (iq §8.5.2.1.3, subscriptions §3, probes §4.3). ERROR: answer
    `service-unavailable`. IGNORE: drop it and say nothing.
    """

    DELIVER = "deliver"
    REQUEST = "request"
    OFFLINE = "offline"
    HANDLE = "handle"
    ERROR = "error"
    IGNORE = "ignore"


S = TypeVar("S", bound=Session)
Decision = tuple[Action, tuple[S, ...]]

_DELIVER: Final = Action.DELIVER  # looking up a member is a call in Python 3.11
_REQUEST: Final = Action.REQUEST
_OFFLINE: Final = (Action.OFFLINE, ())
_HANDLE: Final = (Action.HANDLE, ())
_ERROR: Final = (Action.ERROR, ())
_IGNORE: Final = (Action.IGNORE, ())


def decide(name: str, type: str, resource: str, sessions: Mapping[str, S] | None) -> Decision[S]:
    """What to do with a stanza to `account` (`resource` empty) or `account/resource`.

    `name` is message, presence or iq, `type` its type attribute (empty if absent). `sessions` are the account's
    connected resources by name; empty: nobody is connected; None: there is no such account. Sessions come only with
    DELIVER (one or more) and REQUEST (one), in the mapping's order. The `to` of a stanza to the bare address stays.

    A session that refuses what is delivered is gone: ask again without it. Types of iq and presence that the RFCs do
    not define are answered where the stanza enters (RFC 6120 §8.2.3) and ignored here; such a message is normal
    (RFC 6121 §5.2.2).
    """
    if name == "message":
        if sessions:
            if resource:
                match = sessions.get(resource)
                if match is not None:
                    return _DELIVER, (match,)
            if type == "chat":
                chosen = _non_negative(sessions)
                return (_DELIVER, chosen) if chosen else _OFFLINE
        return _other_message(type, resource, sessions)
    if name == "iq":
        return _iq(type, resource, sessions)
    return _presence(type, resource, sessions)


def _non_negative(sessions: Mapping[str, S]) -> tuple[S, ...]:
    chosen: tuple[S, ...] = ()
    for session in sessions.values():
        priority = session.priority
        if priority is not None and priority >= 0:
            chosen += (session,)  # mostly one: cheaper than a list
    return chosen


def _other_message(type: str, resource: str, sessions: Mapping[str, S] | None) -> Decision[S]:
    if type == "error":
        return _IGNORE
    if type == "groupchat":
        return _ERROR
    if type == "headline":
        chosen = _non_negative(sessions) if sessions and not resource else ()
        return (_DELIVER, chosen) if chosen else _IGNORE
    if sessions is None or (resource and type != "chat"):
        return _ERROR
    chosen = _non_negative(sessions)
    return (_DELIVER, chosen) if chosen else _OFFLINE


def _iq(type: str, resource: str, sessions: Mapping[str, S] | None) -> Decision[S]:
    request = type in ("get", "set")
    if not request and type not in ("result", "error"):
        return _IGNORE
    if not resource and sessions is not None:
        return _HANDLE
    match = sessions.get(resource) if sessions else None
    if match is not None:
        return (_REQUEST if request else _DELIVER), (match,)
    return _ERROR if request else _IGNORE


def _presence(type: str, resource: str, sessions: Mapping[str, S] | None) -> Decision[S]:
    if sessions is None:
        return _IGNORE
    match = sessions.get(resource) if resource else None
    if type in ("", "unavailable", "error"):
        if resource:
            return (_DELIVER, (match,)) if match is not None else _IGNORE
        chosen = tuple([s for s in sessions.values() if s.priority is not None])
        return (_DELIVER, chosen) if chosen else _IGNORE
    if type in ("subscribe", "probe"):
        return _HANDLE
    if type in ("subscribed", "unsubscribe", "unsubscribed"):
        return _HANDLE if not resource or match is not None else _IGNORE
    return _IGNORE
