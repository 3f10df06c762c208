"""Rooms on both databases."""

from __future__ import annotations

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.rooms import RoomAffiliation, RoomChange
from xmpp_server.storage.store import Store

CAVE = JID.parse("cave@conference.localhost")
CRONE, HAG = JID.parse("crone@localhost"), JID.parse("hag66@localhost")


async def made(store: Store, room: JID = CAVE, *, public: bool = True) -> None:
    await store.rooms.change(
        RoomChange(room, b"{}", public, "A Dark Cave", [RoomAffiliation(CRONE, 3), RoomAffiliation(HAG, 1, "hag", "x")])
    )


async def test_a_room_comes_back_with_its_affiliations(store: Store) -> None:
    assert await store.rooms.load(CAVE) is None
    await made(store)
    await store.rooms.change(RoomChange(CAVE, affiliated=[RoomAffiliation(CRONE, 2)], removed=[HAG]))
    assert await store.rooms.load(CAVE) == (b"{}", [RoomAffiliation(CRONE, 2)])


async def test_with_a_room_goes_all_that_belongs_to_it(store: Store) -> None:
    await made(store)
    n = store.rooms.log.number(0)
    await store.rooms.log.add(CAVE, n, b"<message/>", at=n, peer=CAVE.with_resource("hag"))
    await store.rooms.move([(CAVE, HAG.with_resource("pda"), n)])
    assert await store.rooms.log.last(CAVE) == n
    await store.rooms.remove(CAVE)
    assert await store.rooms.load(CAVE) is None
    assert await store.rooms.log.last(CAVE) == 0
    assert await store.rooms.cursors(CAVE, HAG) == {}


async def test_each_device_has_a_cursor_until_it_is_forgotten(store: Store) -> None:
    await made(store)
    pda, laptop = HAG.with_resource("pda"), HAG.with_resource("laptop")
    await store.rooms.move([(CAVE, pda, 5), (CAVE, laptop, 9)])
    await store.rooms.move([(CAVE, pda, 7)])
    assert await store.rooms.cursors(CAVE, HAG) == {"pda": 7, "laptop": 9}
    assert await store.rooms.cursors(CAVE, CRONE) == {}
    await store.rooms.forget_cursors(CAVE, HAG, ["pda", "other"])
    assert await store.rooms.cursors(CAVE, HAG) == {"laptop": 9}
    await store.rooms.move([(JID.parse("gone@conference.localhost"), pda, 1)])


async def test_public_rooms_are_listed_a_page_at_a_time(store: Store) -> None:
    rooms = [JID.parse(f"r{n}@conference.localhost") for n in range(5)]
    for room in rooms:
        await made(store, room, public=room != rooms[2])
    await made(store, JID.parse("r9@conference.capulet.example"))
    assert await store.rooms.count("conference.localhost") == 4

    async def page(**asked: str | None) -> list[JID]:
        found = await store.rooms.public("conference.localhost", limit=2, **asked)  # type: ignore[arg-type]
        return [jid for jid, _ in found]

    assert await page() == rooms[:2]
    assert await page(after=str(rooms[1])) == rooms[3:]
    assert await page(before="") == rooms[3:]
    assert await page(before=str(rooms[3])) == rooms[:2]


async def test_who_was_in_a_room_is_had_once(store: Store) -> None:
    await made(store)
    await store.rooms.save_occupants([(CAVE, b"[]")])
    assert await store.rooms.take_occupants("conference.capulet.example") == []
    assert await store.rooms.take_occupants("conference.localhost") == [(CAVE, b"[]")]
    assert await store.rooms.take_occupants("conference.localhost") == []
