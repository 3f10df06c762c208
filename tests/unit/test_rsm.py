from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.rsm import Page, PageRequest


def request(content: str) -> PageRequest:
    text = f"<query xmlns='urn:q'><set xmlns='http://jabber.org/protocol/rsm'>{content}</set></query>"
    return PageRequest.parse(parse(text.encode()))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<max>10</max>", PageRequest(max=10)),  # §2.1
        ("<max>10</max><after>peterpan@neverland.lit</after>", PageRequest(10, "peterpan@neverland.lit")),  # §2.2
        ("<max>10</max><after/>", PageRequest(10)),
        ("<max>10</max><before>peter@pixyland.org</before>", PageRequest(10, before="peter@pixyland.org")),  # §2.3
        ("<max>10</max><before/>", PageRequest(10, before="")),  # §2.5
        ("<max>10</max><index>371</index>", PageRequest(10, index=371)),  # §2.6
        ("<max>0</max>", PageRequest(max=0)),  # §2.7
        ("", PageRequest()),
        ("<max> 5 </max>", PageRequest(5)),
    ],
)
def test_each_kind_of_page_can_be_asked_for(content: str, expected: PageRequest) -> None:
    assert request(content) == expected


def test_no_set_asks_for_all() -> None:
    assert PageRequest.parse(Element("urn:q", "query")) == PageRequest()


@pytest.mark.parametrize(
    "content", ["<max/>", "<max>-1</max>", "<max>ten</max>", "<index>1.5</index>", "<max>\u0663</max>"]
)
def test_what_is_no_number_is_refused(content: str) -> None:
    with pytest.raises(StanzaError) as raised:
        request(content)
    assert raised.value.condition == "bad-request"


def test_the_server_gives_no_more_than_it_wants() -> None:
    assert request("").limit(50) == 50
    assert request("<max>10</max>").limit(50) == 10
    assert request("<max>0</max>").limit(50) == 0
    assert request(f"<max>{'9' * 5000}</max>").limit(50) == 50


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (Page("a", "b", 0, 800), "<first index='0'>a</first><last>b</last><count>800</count>"),
        (Page("a", "a"), "<first>a</first><last>a</last>"),
        (Page(count=790), "<count>790</count>"),
    ],
)
def test_a_page_is_described(page: Page, expected: str) -> None:
    assert page.element().to_bytes() == f"<set xmlns='http://jabber.org/protocol/rsm'>{expected}</set>".encode()


def test_an_empty_page_says_nothing_it_does_not_know() -> None:
    assert Page().element().to_bytes() == b"<set xmlns='http://jabber.org/protocol/rsm'/>"
