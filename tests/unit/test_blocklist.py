"""XEP-0191 §5: how entries match, in the words of its list."""

import pytest

from xmpp_server.protocol.jid import JID
from xmpp_server.routing.blocklist import blocks

OWNER = JID.parse("juliet@capulet.com")

# entry, what it covers, what it does not cover
MATCHING = [
    # 1. <user@domain/resource> (only that resource matches)
    (
        "romeo@montague.net/orchard",
        ["romeo@montague.net/orchard"],
        ["romeo@montague.net", "romeo@montague.net/home", "montague.net", "montague.net/orchard"],
    ),
    # 2. <user@domain> (any resource matches)
    (
        "romeo@montague.net",
        ["romeo@montague.net", "romeo@montague.net/orchard", "romeo@montague.net/home"],
        ["montague.net", "benvolio@montague.net", "romeo@capulet.net", "romeo@sub.montague.net"],
    ),
    # 3. <domain/resource> (only that resource matches)
    (
        "montague.net/orchard",
        ["montague.net/orchard"],
        ["montague.net", "montague.net/home", "romeo@montague.net/orchard", "romeo@montague.net"],
    ),
    # 4. <domain> (the domain itself matches, as does any user@domain or domain/resource)
    (
        "montague.net",
        ["montague.net", "romeo@montague.net", "romeo@montague.net/orchard", "montague.net/orchard"],
        ["sub.montague.net", "romeo@sub.montague.net", "net", "capulet.net"],
    ),
]


@pytest.mark.parametrize(("entry", "covered", "free"), MATCHING, ids=[row[0] for row in MATCHING])
def test_an_entry_covers_what_section_5_says(entry: str, covered: list[str], free: list[str]) -> None:
    blocked = frozenset([JID.parse(entry), JID.parse("somebody@else.example")])
    assert [address for address in covered if not blocks(blocked, OWNER, JID.parse(address))] == []
    assert [address for address in free if blocks(blocked, OWNER, JID.parse(address))] == []


def test_an_empty_list_covers_nobody() -> None:
    assert not blocks(frozenset(), OWNER, JID.parse("romeo@montague.net/orchard"))


def test_addresses_are_compared_as_prepared() -> None:
    assert blocks(frozenset([JID.parse("ROMEO@Montague.NET")]), OWNER, JID.parse("romeo@montague.net/orchard"))


@pytest.mark.parametrize("entry", ["juliet@capulet.com", "juliet@capulet.com/balcony", "capulet.com"])
def test_an_account_and_its_host_are_never_covered_by_its_own_list(entry: str) -> None:
    blocked = frozenset([JID.parse(entry)])
    for address in ("juliet@capulet.com", "juliet@capulet.com/balcony", "capulet.com"):
        assert not blocks(blocked, OWNER, JID.parse(address))


def test_others_at_the_own_host_are_covered_by_its_domain() -> None:
    blocked = frozenset([JID.parse("capulet.com")])
    for address in ("nurse@capulet.com", "nurse@capulet.com/hall", "capulet.com/announce"):
        assert blocks(blocked, OWNER, JID.parse(address))
