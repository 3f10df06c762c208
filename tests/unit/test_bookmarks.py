"""Bookmarks of both forms (XEP-0402, XEP-0048)."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import bookmarks
from xmpp_server.protocol.element import Element, parse

PLAY = "theplay@conference.shakespeare.example"


def storage(content: str) -> Element:
    return parse(f"<storage xmlns='storage:bookmarks'>{content}</storage>".encode())


def conference(content: str = "", attrs: str = "") -> Element:
    return parse(f"<conference xmlns='urn:xmpp:bookmarks:1' {attrs}>{content}</conference>".encode())


def test_an_item_becomes_an_entry_of_the_list_and_comes_back() -> None:
    item = conference("<nick>JC</nick><password>sesame</password>", "name='The Play&apos;s the Thing' autojoin='1'")
    listed = bookmarks.collated({PLAY: item})
    assert (
        listed.to_bytes("storage:bookmarks")
        == (
            f"<storage><conference jid='{PLAY}' name='The Play&apos;s the Thing' autojoin='1'>"
            "<nick>JC</nick><password>sesame</password></conference></storage>"
        ).encode()
    )
    assert bookmarks.same(bookmarks.rooms(listed)[PLAY], item)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (conference(attrs="autojoin='true'"), conference(attrs="autojoin='1'")),
        (conference(), conference(attrs="autojoin='false'")),
        (conference("<nick/>"), conference()),
        (conference("<extensions/><nick>a</nick>"), conference("<nick>a</nick><extensions/>")),
    ],
)
def test_what_says_the_same_is_the_same(one: Element, other: Element) -> None:
    """XEP-0402 §5.3.2: no notifications for unchanged items"""
    assert bookmarks.same(one, other)


@pytest.mark.parametrize(
    "other", [None, conference(attrs="name='b'"), conference("<nick>b</nick>"), conference("<extensions/>")]
)
def test_what_says_something_else_is_not_the_same(other: Element | None) -> None:
    assert not bookmarks.same(other, conference())


def test_addresses_are_compared_as_addresses_and_bad_ones_left_out() -> None:
    listed = storage("<conference jid='PLAY@Rooms.example'/><conference jid='@'/><conference/><url url='x:y'/>")
    assert list(bookmarks.rooms(listed)) == ["play@rooms.example"]


def test_what_is_no_room_stays_apart() -> None:
    listed = storage("<conference jid='a@b.example'/><url url='https://x.example'/><other xmlns='x:y'/>")
    assert [child.name for child in bookmarks.without_rooms(listed)] == ["url", "other"]
    assert [child.name for child in bookmarks.collated({PLAY: conference()}, listed)] == ["conference", "url", "other"]


def test_a_list_does_not_take_from_an_item_what_it_cannot_say() -> None:
    before = conference("<nick>JC</nick><password>p</password><extensions><a xmlns='a'/></extensions>", "name='old'")
    after = bookmarks.merged(before, conference("<nick>Juliet</nick>", "name='new'"))
    assert after.to_bytes("urn:xmpp:bookmarks:1") == (
        b"<conference name='new'><nick>Juliet</nick><extensions><a xmlns='a'/></extensions></conference>"
    )
