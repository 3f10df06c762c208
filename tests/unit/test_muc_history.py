"""XEP-0045 §7.2.13 to §7.2.15: which of the newest messages a newcomer is shown."""

from __future__ import annotations

import pytest

from components.muc.history import History, HistoryRequest
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

CLIENT = "jabber:client"
MUC = "http://jabber.org/protocol/muc"
SECOND = 1_000_000
AUTHOR = JID.parse("coven@chat.shakespeare.lit/firstwitch")


def message(text: str, *, subject: bool = False) -> Stanza:
    child = Element(CLIENT, "subject" if subject else "body", {}, [text])
    return Stanza.build("message", child, sender=AUTHOR, type="groupchat")


@pytest.fixture
def history() -> History:
    """Five messages, a second apart, with a change of the subject in between."""
    history = History()
    for n in range(1, 6):
        history.add(n, n * SECOND, message(str(n), subject=n == 3))
    return history


def request(**attrs: str) -> HistoryRequest | None:
    return HistoryRequest.parse(Element(MUC, "x", {}, [Element(MUC, "history", attrs)]))


def shown(history: History, asked: HistoryRequest | None, default: int = 20) -> list[int]:
    return [entry.n for entry in history.asked(asked, default, 6 * SECOND)]


def test_who_asks_for_nothing_gets_what_the_room_shows_less_its_subjects(history: History) -> None:
    assert shown(history, None) == [1, 2, 4, 5]
    assert shown(history, None, default=2) == [4, 5]


def test_each_limit_alone_and_the_smallest_of_several(history: History) -> None:
    size = len(message("1").to_bytes())
    assert shown(history, request(maxstanzas="1")) == [5]
    assert shown(history, request(maxchars="0")) == []
    assert shown(history, request(maxchars=str(2 * size))) == [4, 5]
    assert shown(history, request(maxchars=str(2 * size - 1))) == [5]
    assert shown(history, request(seconds="2")) == [4, 5]
    assert shown(history, request(since="1970-01-01T00:00:02Z")) == [2, 4, 5]
    assert shown(history, request(since="1970-01-01T00:00:02Z", maxstanzas="2")) == [4, 5]


@pytest.mark.parametrize("attrs", [{"maxstanzas": "-1"}, {"maxchars": "x"}, {"seconds": "1.5"}, {"since": "today"}])
def test_a_limit_that_is_none_is_a_bad_request(attrs: dict[str, str]) -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        request(**attrs)


def test_it_is_bounded_and_knows_what_it_has_no_more() -> None:
    history = History()
    for n in range(1, 151):
        history.add(n, n, message(str(n)))
    assert len(history) == 100
    assert history.floor == 50
    assert [entry.n for entry in history.after(148)] == [149, 150]
    history = History()
    for n in range(1, 20):
        history.add(n, n, message("x" * 100_000))
    assert len(history) < 12
