"""When a stanza was sent that arrives late. Times are integers: microseconds since 1970, UTC.

XEP: 0203 (2.0) complete
XEP: 0082 (1.1.1) complete
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from . import ns
from .element import Element
from .jid import JID

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# XEP-0082 §3.2: CCYY-MM-DDThh:mm:ss[.sss]TZD, where TZD is Z or an offset of hours and minutes
_DATE_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def format_time(microseconds: int) -> str:
    """The time as a DateTime of XEP-0082, in UTC, with a fraction where it has one; raises OverflowError outside of the
    years 1 to 9999."""
    when = _EPOCH + microseconds * _MICROSECOND
    return when.replace(tzinfo=None).isoformat(timespec="microseconds" if when.microsecond else "seconds") + "Z"


def parse_time(text: str) -> int:
    """The time of a DateTime of XEP-0082; raises ValueError. Fractions below a microsecond are cut off."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError("no DateTime of XEP-0082")
    *_, fraction, sign, hours, minutes = match.groups()
    whole = datetime.fromisoformat(match[1] + "+00:00")
    elapsed = (whole - _EPOCH) // _MICROSECOND + int((fraction or "")[:6].ljust(6, "0"))
    if not sign:
        return elapsed
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError("no offset of a time zone")
    offset = (int(hours) * 60 + int(minutes)) * 60_000_000
    return elapsed - offset if sign == "+" else elapsed + offset


def delay(sender: JID, microseconds: int, reason: str = "") -> Element:
    """The `<delay/>` of a stanza that `sender` held back or kept since then."""
    attrs = {"from": str(sender), "stamp": format_time(microseconds)}
    return Element(ns.DELAY, "delay", attrs, [reason] if reason else [])
