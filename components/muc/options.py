"""What the operator chooses for groups."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from xmpp_server.port import ComponentOptions

_NUMBER: Final = msgspec.Meta(ge=1)


class MucOptions(ComponentOptions, frozen=True):
    """Who makes rooms, and how much they take."""

    subdomain: str = "conference"
    create: Literal["local", "anyone", "admins"] = "local"
    """Who may make rooms: the accounts of the host, anybody, or the host's administrators."""
    searches_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 60
    """So many searches for rooms by one account; 0: none, and no room is found that way."""
    rooms_per_hour: Annotated[int, msgspec.Meta(ge=0)] = 20
    """So many rooms one account makes in an hour; 0: as many as it likes."""
    occupants: Annotated[int, _NUMBER] = 1024
    """The most people in a room."""
    affiliations: Annotated[int, _NUMBER] = 10_000
    """The most members, admins, owners and banned people of a room."""
    list_occupants: bool = False
    """Whether those who are not in a room are told the nicknames of those who are; never of a room that is hidden or
    for members only."""
    message_bytes: Annotated[int, _NUMBER] = 131_072
    """The largest message to a room."""
    messages_per_second: Annotated[int, _NUMBER] = 20
    """So many messages and changes of presence of one occupant who is no moderator are passed on in a second, and ten
    times as many at once."""
    joins_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 60
    """So often one account that is no admin of a room enters it, or tries to, in a minute; 0: as often as it likes."""
    archive: bool = True
    """Whether rooms keep their messages, so that members who are away get them."""
    days: Annotated[int, msgspec.Meta(ge=0)] = 30
    """For how long a message stays in the log of a room; 0: for ever."""
    page: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    """The most messages that a query to a log is given at a time."""
