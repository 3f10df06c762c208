"""The configuration form of a room (XEP-0045 §10.1.3, §16.5.3), and what clients make of it."""

from __future__ import annotations

import pytest

from components.muc.config import FORM, Config
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID

ROOM = JID.parse("coven@chat.shakespeare.lit")


def submitted(config: Config = Config(), **values: str) -> Config:  # noqa: B008
    fields = [Field(f"muc#roomconfig_{var}", (value,) if value is not None else ()) for var, value in values.items()]
    return config.changed(Form.of("submit", FORM, *fields), 1024)


def test_the_form_that_goes_out_comes_back_as_the_same_configuration() -> None:
    config = Config(name="A Dark Cave", persistent=True, members_only=True, non_anonymous=True, occupants=50)
    form = config.form(ROOM, [JID.parse("crone1@shakespeare.lit")], [], 1024)
    assert config.changed(Form("submit", form.fields), 1024) == config
    assert Config().changed(Form("submit", Config().form(ROOM, [], [], 1024).fields), 1024) == Config()


def test_an_empty_boolean_is_false() -> None:
    assert not submitted(Config(persistent=True), persistentroom="").persistent


def test_the_name_has_a_value_though_it_is_empty() -> None:
    field = Config().form(ROOM, [], [], 1024).get("muc#roomconfig_roomname")
    assert field is not None
    assert field.values == ("",)


def test_what_conversations_asks_for_makes_a_private_group() -> None:
    config = submitted(
        persistentroom="1", membersonly="1", publicroom="0", whois="anyone", changesubject="0", allowinvites="0",
        enablearchiving="1",
    )  # fmt: skip
    assert config == Config(persistent=True, members_only=True, public=False, non_anonymous=True)


@pytest.mark.parametrize("var", ["muc#roomconfig_enablearchiving", "muc#roomconfig_mam", "mam"])
def test_the_archive_has_several_names(var: str) -> None:
    assert not Config().changed(Form.of("submit", FORM, Field(var, ("0",))), 1024).archive


def test_a_password_protects_and_needs_a_password() -> None:
    assert submitted(roomsecret="cauldronburn").password == "cauldronburn"
    assert submitted(Config(password="x"), roomsecret="").password == ""
    assert submitted(Config(password="x"), passwordprotectedroom="0").password == ""
    with pytest.raises(StanzaError, match="not-acceptable"):
        submitted(passwordprotectedroom="1")


@pytest.mark.parametrize(
    "values",
    [
        {"whois": "nobody"},
        {"allowpm": "some"},
        {"maxusers": "1025"},
        {"maxusers": "0"},
        {"presencebroadcast": "king"},
        {"persistentroom": "maybe"},
        {"roomname": "x" * 300},
    ],
)
def test_what_makes_no_sense_is_not_acceptable(values: dict[str, str]) -> None:
    with pytest.raises(StanzaError, match="not-acceptable"):
        submitted(**values)


def test_a_form_of_another_kind_is_a_bad_request() -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        Config().changed(Form.of("submit", "urn:x", Field("a", ("b",))), 1024)
