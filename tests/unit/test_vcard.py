"""The photo of a vCard (XEP-0153)."""

from __future__ import annotations

from base64 import b64encode

import pytest

from xmpp_server.protocol import avatar, vcard
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.vcard import Photo

IMAGE = Photo("image/png", b"\x89PNG")


def card(photo: str) -> Element:
    return parse(f"<vCard xmlns='vcard-temp'><FN>Romeo</FN>{photo}</vCard>".encode())


def test_the_hash_is_of_the_bytes_and_not_of_base64() -> None:
    """XEP-0153 §3.1"""
    assert Photo("", b"abc").hash == "a9993e364706816aba3e25717850c26c9cd0d89d"  # FIPS 180, appendix A


def test_base64_may_be_broken_into_lines() -> None:
    broken = "\n  ".join(b64encode(IMAGE.data).decode())
    assert vcard.photo(card(f"<PHOTO><TYPE>image/png</TYPE><BINVAL>{broken}</BINVAL></PHOTO>")) == IMAGE


@pytest.mark.parametrize(
    "photo",
    [
        "",
        "<PHOTO/>",
        "<PHOTO><BINVAL/></PHOTO>",
        "<PHOTO><BINVAL>no base64!</BINVAL></PHOTO>",
        "<PHOTO><BINVAL>AAA</BINVAL></PHOTO>",
        "<PHOTO><BINVAL>é</BINVAL></PHOTO>",
        "<PHOTO><EXTVAL>https://x.example/photo.png</EXTVAL></PHOTO>",
    ],
)
def test_what_is_no_image_is_none(photo: str) -> None:
    assert vcard.photo(card(photo)) is None


def test_a_photo_takes_the_place_of_all_others_and_nothing_else() -> None:
    two = card("<PHOTO><BINVAL>AAAA</BINVAL></PHOTO><PHOTO><BINVAL>BBBB</BINVAL></PHOTO><TITLE>Heir</TITLE>")
    changed = vcard.with_photo(two, IMAGE)
    assert vcard.photo(changed) == IMAGE
    assert [child.name for child in changed] == ["FN", "TITLE", "PHOTO"]
    assert [child.name for child in vcard.with_photo(changed, None)] == ["FN", "TITLE"]


# -- XEP-0084


def test_the_image_of_an_avatar_is_the_first_that_is_not_elsewhere() -> None:
    """XEP-0398 §3.1"""
    infos = "<info id='00' type='image/webp' url='https://x.example'/><info id='0A' type='image/png'/><info id='0b'/>"
    metadata = parse(f"<metadata xmlns='urn:xmpp:avatar:metadata'>{infos}</metadata>".encode())
    assert avatar.described(metadata) == avatar.Described("0a", "image/png")


@pytest.mark.parametrize("content", ["", "<info/>", "<info url='https://x.example' id='00'/>", "<other id='00'/>"])
def test_without_an_image_here_there_is_none(content: str) -> None:
    assert avatar.described(parse(f"<metadata xmlns='urn:xmpp:avatar:metadata'>{content}</metadata>".encode())) is None


def test_data_and_metadata_come_back() -> None:
    assert avatar.image(avatar.data(IMAGE), "image/png") == IMAGE
    assert avatar.described(avatar.metadata(IMAGE)) == avatar.Described(IMAGE.hash, "image/png")
    assert avatar.described(avatar.metadata(None)) is None


@pytest.mark.parametrize("data", ["<data xmlns='urn:xmpp:avatar:data'>?</data>", "<data xmlns='x:y'>AAAA</data>"])
def test_what_is_no_data_is_no_image(data: str) -> None:
    assert avatar.image(parse(data.encode()), "") is None
