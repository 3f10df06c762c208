"""Addresses by RFC 7622: its tables of examples (§3.5), lengths, domains, and what hypothesis finds."""

from __future__ import annotations

import copy
import unicodedata
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xmpp_server.protocol import jid as module
from xmpp_server.protocol.jid import JID, InvalidJID

# Table 1: examples of JIDs, by their number: text, then localpart, domainpart, resourcepart
VALID = [
    (1, "juliet@example.com", "juliet", "example.com", ""),
    (2, "juliet@example.com/foo", "juliet", "example.com", "foo"),
    (3, "juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
    (4, "juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
    (5, "foo\\20bar@example.com", "foo\\20bar", "example.com", ""),
    (6, "fussball@example.com", "fussball", "example.com", ""),
    (7, "fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""),
    (8, "\u03c0@example.com", "\u03c0", "example.com", ""),
    (9, "\u03a3@example.com/foo", "\u03c3", "example.com", "foo"),
    (10, "\u03c3@example.com/foo", "\u03c3", "example.com", "foo"),
    (11, "\u03c2@example.com/foo", "\u03c2", "example.com", "foo"),
    (12, "king@example.com/\u265a", "king", "example.com", "\u265a"),
    (13, "example.com", "", "example.com", ""),
    (14, "example.com/foobar", "", "example.com", "foobar"),
    (15, "a.example.com/b@example.net", "", "a.example.com", "b@example.net"),
]

# Table 2: examples of strings that are not JIDs, with the rule that is violated
INVALID = [
    ('"juliet"@example.com', "quotation marks in the localpart"),
    ("foo bar@example.com", "space in the localpart"),
    ("@example.com/", "empty localpart and resourcepart"),
    ("henry\u2163@example.com", "compatibility equivalent in the localpart"),
    ("\u265a@example.com", "symbol in the localpart"),
    ("juliet@", "localpart without a domainpart"),
    ("/foobar", "resourcepart without a domainpart"),
]


@pytest.mark.parametrize(("number", "text", "localpart", "domain", "resource"), VALID)
def test_the_examples_of_table_1_are_addresses(
    number: int, text: str, localpart: str, domain: str, resource: str
) -> None:
    jid = JID.parse(text)
    assert (jid.localpart, jid.domain, jid.resource) == (localpart, domain, resource)


@pytest.mark.parametrize(("text", "why"), INVALID)
def test_the_examples_of_table_2_are_none(text: str, why: str) -> None:
    with pytest.raises(InvalidJID):
        JID.parse(text)


def test_a_space_at_the_start_of_a_resource_is_allowed_by_the_rules() -> None:
    # an example in table 2 says otherwise, but OpaqueString (RFC 8265 §4.2), which §3.4 names, allows it
    assert JID.parse("juliet@example.com/ foo").resource == " foo"


def test_sharp_s_and_final_sigma_are_letters_of_their_own() -> None:
    assert JID.parse("fu\u00dfball@example.com") != JID.parse("fussball@example.com")  # §3.5
    assert JID.parse("\u03c2@example.com") != JID.parse("\u03c3@example.com")
    assert JID.parse("\u03a3@example.com") == JID.parse("\u03c3@example.com")
    assert JID.parse("fu\u00dfball.example").domain == "fu\u00dfball.example"
    assert JID.parse("\u03c2.example").domain == "\u03c2.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "/",
        "a@",
        "a@/b",
        "a@b/",
        "@b",
        "a@b@c",
        "a b@c",
        "a\u0000@b",
        "a:b@c",
        "a&b@c",
        "a'b@c",
        "a<b@c",
        "a>b@c",
        "a@b c",
        "a@b:5222",
        "a@b\u0000",
        "a@b/\u0000",
        "a@b/\t",
        "a@b/\u007f",
        "a@b/\ufdd0",
        "a\u00adb@c",
        "\u200d@b",
        "\U0001f600@b",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidJID):
        JID.parse(text)


@pytest.mark.parametrize("text", ["\ud800@b", "a@\ud800", "a@b/\ud800", "a@b/x\udfffy", "\ud83d\ude00"])
def test_surrogates_are_refused(text: str) -> None:
    with pytest.raises(InvalidJID):
        JID.parse(text)


def test_a_part_has_at_most_1023_octets() -> None:  # §3.2 to §3.4
    assert len(JID.parse("a" * 1023 + "@b").localpart) == 1023
    assert len(JID.parse("a@b/" + "r" * 1023).resource) == 1023
    assert len(JID.parse("a@b/" + "\u00e9" * 511).resource) == 511
    domain = ".".join(["d" * 63] * 15 + ["d" * 63])
    assert len(domain) == 1023
    assert JID.parse(f"a@{domain}").domain == domain
    for text in (
        "a" * 1024 + "@b",
        "a@b/" + "r" * 1024,
        "a@b/" + "\u00e9" * 512,
        f"a@{domain}.d",
        "\u00e9" * 512 + "@b",
    ):
        with pytest.raises(InvalidJID):
            JID.parse(text)


def test_a_part_that_outgrows_the_limit_when_it_is_prepared_is_refused() -> None:
    # U+0958 is composed of two code points in normal form: 3 octets become 6
    assert len("\u0958".encode()) * 341 <= 1023
    with pytest.raises(InvalidJID):
        JID.parse("a@b/" + "\u0958" * 341)


def test_localpart_and_domain_have_no_case_and_the_resource_has() -> None:
    jid = JID.parse("Juliet@EXAMPLE.com/Balcony")
    assert str(jid) == "juliet@example.com/Balcony"
    assert jid != JID.parse("juliet@example.com/balcony")


def test_canonically_equal_texts_are_one_address() -> None:
    assert JID.parse("caf\u00e9@b.example/caf\u00e9") == JID.parse("cafe\u0301@b.example/cafe\u0301")
    assert JID.parse("a@caf\u00e9.example") == JID.parse("a@cafe\u0301.example")


def test_wide_letters_are_narrow_in_a_localpart() -> None:
    assert JID.parse("\uff21@b").localpart == "a"  # width mapping of UsernameCaseMapped, RFC 8265 §3.3


def test_other_spaces_are_spaces_in_a_resource() -> None:
    assert JID.parse("a@b/x\u00a0y\u2003z").resource == "x y z"  # RFC 8265 §4.2


@pytest.mark.parametrize("text", ["\u05d0", "\u05d01", "\u05d0\u05d1", "\u0627\u0644"])
def test_a_localpart_may_run_from_right_to_left(text: str) -> None:
    assert JID.parse(f"{text}@b").localpart == text


@pytest.mark.parametrize("text", ["\u05d0a", "a\u05d0", "1\u05d0", "\u06611\u0627"])
def test_a_localpart_of_mixed_direction_is_refused(text: str) -> None:
    with pytest.raises(InvalidJID):
        JID.parse(f"{text}@b")  # the Bidi Rule, RFC 5893


def test_a_resource_may_be_of_mixed_direction() -> None:
    assert JID.parse("a@b/\u05d0a").resource == "\u05d0a"


# -- domains, §3.2


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.com.", "example.com"),
        ("example.com./r", "example.com"),
        ("EXAMPLE.COM", "example.com"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
        ("fu\u00dfball.example", "fu\u00dfball.example"),
        ("xn--fuball-cta.example", "fu\u00dfball.example"),
        ("XN--FUBALL-CTA.example", "fu\u00dfball.example"),
        ("B\u00dcCHER.example", "b\u00fccher.example"),
        ("\uff41.example", "a.example"),
        ("b\u3002example", "b.example"),
        ("\u05d0\u05d1.example", "\u05d0\u05d1.example"),
        ("r3---sn.example", "r3---sn.example"),
    ],
)
def test_a_domain_is_prepared(text: str, domain: str) -> None:
    assert JID.parse(text).domain == domain


@pytest.mark.parametrize(
    "domain",
    [
        ".",
        "..",
        "example..com",
        "example.com..",
        ".example.com",
        "-example.com",
        "example-.com",
        "a_b.example",
        "d" * 64,
        "\u00e9" * 60,  # 64 octets and more as an A-label
        "xn--.example",
        "xn--a.example",
        "\u05d0a.example",
        "a\u200db.example",
        "[::1",
        "::1",
        "[]",
        "[1.2.3.4]",
        "[::1%eth0]",
        "[::1]x",
        "a@b",
    ],
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(InvalidJID):
        JID.parse(f"a@{domain}")


# -- the object


def test_a_bare_address_is_its_own_bare_address() -> None:
    jid = JID.parse("a@b")
    assert jid.bare is jid
    assert jid.is_bare
    full = JID.parse("a@b/c")
    assert not full.is_bare
    assert full.bare == jid
    assert full.bare.is_bare


def test_addresses_are_compared_by_what_they_are() -> None:
    assert JID.parse("A@b") == JID.of("a", "b") == JID.of("A", "B")
    assert hash(JID.parse("A@b")) == hash(JID.of("a", "b"))
    assert JID.parse("a@b") != "a@b"
    assert JID.parse("a@b/c") == JID.parse("a@b").with_resource("c")
    assert len({JID.parse("a@b"), JID.of("a", "b"), JID.parse("A@B")}) == 1


def test_parts_are_prepared_by_their_profiles() -> None:
    assert str(JID.of("Fu\u00dfball", "EXAMPLE.com", "X y")) == "fu\u00dfball@example.com/X y"
    for parts in (("a@b", "c", ""), ("a/b", "c", ""), ("a", "b/c", ""), ("a", "", ""), ("a", "b", "\u0000")):
        with pytest.raises(InvalidJID):
            JID.of(*parts)
    with pytest.raises(InvalidJID):
        JID.parse("a@b").with_resource("")


@pytest.mark.parametrize("attribute", ["localpart", "domain", "resource", "bare", "xml", "new"])
def test_an_address_does_not_change(attribute: str) -> None:
    jid = JID.parse("a@b/c")
    with pytest.raises(AttributeError):
        setattr(jid, attribute, "x")
    with pytest.raises(AttributeError):
        delattr(jid, attribute)
    assert copy.copy(jid) is jid
    assert copy.deepcopy(jid) is jid


def test_the_same_text_is_one_object_while_it_is_remembered() -> None:
    assert JID.parse("one@object.example/x") is JID.parse("one@object.example/x")


def test_what_is_remembered_is_bounded() -> None:
    info = module._cached.cache_info()
    assert info.maxsize is not None
    assert info.maxsize <= 65536
    JID.parse("a@b/" + "r" * 1000)
    assert module._cached.cache_info().currsize <= info.currsize + 1  # the bare address; long ones are not kept


# -- what hypothesis finds

LETTERS = st.one_of(
    st.characters(),
    st.sampled_from("abcXYZ019-._@/\\ '\"&<>[]:%"),
    st.sampled_from(
        "\u00df\u03c2\u03a3\u0130\u0131\u212b\uff21\u00ad\u200d\u200c\u3002\u05d0\u0627\u0661\u0958\u1e9e\u01c5\u0345"
    ),
)
TEXTS = st.text(LETTERS, max_size=20)


def check(text: str) -> None:
    try:
        jid = JID.parse(text)
    except InvalidJID:
        return
    again = JID.parse(str(jid))
    assert again == jid
    assert str(again) == str(jid)
    assert (again.localpart, again.domain, again.resource) == (jid.localpart, jid.domain, jid.resource)
    assert JID.of(jid.localpart, jid.domain, jid.resource) == jid
    assert all(len(part.encode()) <= 1023 for part in (jid.localpart, jid.domain, jid.resource))
    for quote in "'\"":
        assert ElementTree.fromstring(f"<a b={quote}{jid.xml}{quote}/>").get("b") == str(jid)
    assert jid.bare.bare is jid.bare
    assert str(jid).startswith(str(jid.bare))


@given(TEXTS)
def test_any_text_is_refused_or_a_fixpoint(text: str) -> None:
    check(text)


@given(TEXTS, TEXTS, TEXTS)
@example("a", "[::1]", "r")
@example("\u1e9e", "\u1e9e", "\u1e9e")
@example("\u0345\u03b1", "a\u3002", "\u0344")
def test_any_three_parts_are_refused_or_a_fixpoint(localpart: str, domain: str, resource: str) -> None:
    check(f"{localpart}@{domain}/{resource}")
    check(f"{localpart}@example.org")
    check(domain)
    check(f"a@b/{resource}")


def test_every_letter_that_preparing_changes_is_refused_or_a_fixpoint() -> None:
    for letter in map(chr, [*range(0xD800), *range(0xE000, 0x30000)]):
        if letter.lower() != letter or unicodedata.normalize("NFC", letter) != letter:
            check(f"{letter}@b")
            check(f"a@b/{letter}")
