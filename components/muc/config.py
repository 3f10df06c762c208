"""The configuration of a room, and the form in which its owner reads and changes it (XEP-0045 §10.1.3, §16.5.3)."""

from __future__ import annotations

from typing import Final

import msgspec

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.jid import JID

FORM: Final = "http://jabber.org/protocol/muc#roomconfig"
_PREFIX: Final = "muc#roomconfig_"
_ROLES: Final = ("moderator", "participant", "visitor")
_ABSENT: Final = "none"
"""The role of members who are not there: whoever enters is shown them, if their presence is shown."""
_PM: Final = ("anyone", "participants", "moderators", "none")
_MOST_HISTORY: Final = 100
_MOST_TEXT: Final = 4096
_MOST_NAME: Final = 256

# What other servers call the same: COMPAT(Conversations, 2.19) sets whichever of them the form has.
_ARCHIVE: Final = (f"{_PREFIX}enablearchiving", f"{_PREFIX}mam", "mam")
_INVITES: Final = (f"{_PREFIX}allowinvites", "{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites")
_HISTORY: Final = ("muc#maxhistoryfetch", f"{_PREFIX}historylength")


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an owner can choose. `occupants` and `history` are numbers; `presence_of` and `list_for` name roles;
    `messages_by` says who may send private messages. A room without a password has an empty one."""

    name: str = ""
    description: str = ""
    lang: str = ""
    persistent: bool = False
    public: bool = True
    members_only: bool = False
    moderated: bool = False
    password: str = ""
    non_anonymous: bool = False
    anyone_changes_subject: bool = False
    members_invite: bool = False
    messages_by: str = "anyone"
    public_log: bool = False
    archive: bool = True
    register: bool = False
    list_for: tuple[str, ...] = _ROLES
    presence_of: tuple[str, ...] = _ROLES
    occupants: int = 0
    """0: as many as the service allows."""
    history: int = 20
    pubsub: str = ""

    def form(self, room: JID, owners: list[JID], admins: list[JID], most: int) -> Form:
        """The form with what is chosen now; a room has `most` occupants."""
        sizes = tuple((str(n), str(n)) for n in (10, 20, 30, 50, 100, 200, 500, 1000) if n < most)
        chosen = str(self.occupants or most)
        if chosen not in dict(sizes) and chosen != str(most):
            sizes += ((chosen, chosen),)
        roles = tuple((role, role.capitalize()) for role in _ROLES)
        return Form.of(
            "form",
            FORM,
            _text("roomname", self.name, "Name of the room"),
            _text("roomdesc", self.description, "Short description"),
            _text("lang", self.lang, "Language of the discussion"),
            _boolean("persistentroom", self.persistent, "The room stays when the last occupant leaves"),
            _boolean("publicroom", self.public, "The room is listed"),
            _boolean("membersonly", self.members_only, "Members only may enter"),
            _boolean("moderatedroom", self.moderated, "Only those whom a moderator gave voice may speak"),
            _boolean("passwordprotectedroom", bool(self.password), "A password is needed to enter"),
            Field(f"{_PREFIX}roomsecret", (self.password,), "text-private", "The password"),
            Field(
                f"{_PREFIX}whois",
                ("anyone" if self.non_anonymous else "moderators",),
                "list-single",
                "Who sees the real addresses of occupants",
                (("moderators", "Moderators"), ("anyone", "Anyone")),
            ),
            _boolean("changesubject", self.anyone_changes_subject, "Occupants may change the subject"),
            _boolean("allowinvites", self.members_invite, "Members may invite others"),
            Field(
                f"{_PREFIX}allowpm",
                (self.messages_by,),
                "list-single",
                "Who may send private messages",
                tuple((who, who.capitalize()) for who in _PM),
            ),
            _boolean("enablearchiving", self.archive, "Messages are kept for members"),
            _boolean("enablelogging", self.public_log, "The discussion is logged in public"),
            boolean("x-muc#roomconfig_registration", self.register, "Users may register with the room"),
            Field(f"{_PREFIX}getmemberlist", self.list_for, "list-multi", "Who may get the list of members", roles),
            Field(
                f"{_PREFIX}presencebroadcast",
                self.presence_of,
                "list-multi",
                "Whose presence is shown",
                (*roles, (_ABSENT, "Absent members")),
            ),
            Field(
                f"{_PREFIX}maxusers",
                (chosen,),
                "list-single",
                "The most occupants",
                (*sizes, (str(most), str(most))),
            ),
            Field("muc#maxhistoryfetch", (str(self.history),), "text-single", "Messages shown to newcomers"),
            _text("pubsub", self.pubsub, "Associated pubsub node"),
            Field(f"{_PREFIX}roomadmins", tuple(map(str, admins)), "jid-multi", "Admins"),
            Field(f"{_PREFIX}roomowners", tuple(map(str, owners)), "jid-multi", "Owners"),
            title=f"Configuration of {room}",
        )

    def changed(self, form: Form, most: int) -> Config:
        """With what was submitted, and what was left out as it is. Raises StanzaError: bad-request for another form,
        not-acceptable for a value that is none of the field's."""
        form.expect(FORM)
        archive, history = _first(form, _ARCHIVE), _first(form, _HISTORY)
        return Config(
            name=_short(form, "roomname", self.name, _MOST_NAME),
            description=_short(form, "roomdesc", self.description, _MOST_TEXT),
            lang=_short(form, "lang", self.lang, _MOST_NAME),
            persistent=form.boolean(f"{_PREFIX}persistentroom", self.persistent),
            public=form.boolean(f"{_PREFIX}publicroom", self.public),
            members_only=form.boolean(f"{_PREFIX}membersonly", self.members_only),
            moderated=form.boolean(f"{_PREFIX}moderatedroom", self.moderated),
            password=self._password(form),
            non_anonymous=form.choice(
                f"{_PREFIX}whois", ("anyone", "moderators"), "anyone" if self.non_anonymous else "moderators"
            )
            == "anyone",
            anyone_changes_subject=form.boolean(f"{_PREFIX}changesubject", self.anyone_changes_subject),
            members_invite=form.boolean(_first(form, _INVITES), self.members_invite),
            messages_by=form.choice(f"{_PREFIX}allowpm", _PM, self.messages_by),
            archive=form.boolean(archive, self.archive),
            public_log=form.boolean(f"{_PREFIX}enablelogging", self.public_log),
            register=form.boolean("x-muc#roomconfig_registration", self.register),
            list_for=_roles(form, "getmemberlist", self.list_for),
            presence_of=_roles(form, "presencebroadcast", self.presence_of),
            occupants=self._occupants(form, most),
            history=form.number(history, self.history, 0, _MOST_HISTORY),
            pubsub=_short(form, "pubsub", self.pubsub, _MOST_TEXT),
        )

    def _password(self, form: Form) -> str:
        password = _short(form, "roomsecret", self.password, _MOST_NAME)
        protected = form.get(f"{_PREFIX}passwordprotectedroom")
        if protected is None:
            return password
        if not form.boolean(protected.var):
            return ""
        if not password:
            raise StanzaError("not-acceptable", "A room that is protected by a password has one.")
        return password

    def _occupants(self, form: Form, most: int) -> int:
        var = f"{_PREFIX}maxusers"
        if form.text(var).strip() in ("none", ""):
            return self.occupants if form.get(var) is None else 0
        chosen = form.number(var, self.occupants or most, 1, most)
        return 0 if chosen == most else chosen


def _text(name: str, value: str, label: str) -> Field:
    # an empty value, not none: COMPAT(profanity, 0.13) crashes on a name without one
    return Field(_PREFIX + name, (value,), "text-single", label)


def _boolean(name: str, value: bool, label: str) -> Field:
    return boolean(_PREFIX + name, value, label)


def _first(form: Form, names: tuple[str, ...]) -> str:
    return next((name for name in names if form.get(name) is not None), names[0])


def _short(form: Form, name: str, default: str, most: int) -> str:
    text = form.lines(_PREFIX + name, default)
    if len(text) > most:
        raise StanzaError("not-acceptable", f"{_PREFIX}{name} is longer than {most} characters.")
    return text


def _roles(form: Form, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    chosen = form.texts(_PREFIX + name, default)
    if not set(chosen) <= {*_ROLES, _ABSENT}:
        raise StanzaError("not-acceptable", f"{_PREFIX}{name} names roles.")
    return tuple(role for role in (*_ROLES, _ABSENT) if role in chosen)
