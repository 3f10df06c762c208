"""Queries to an archive, and what they are answered with (XEP-0313)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from . import ns
from .delay import format_time, parse_time
from .element import Element, attribute
from .errors import StanzaError
from .forms import FORM_TYPE, Field, Form
from .jid import JID
from .rsm import Page, PageRequest

_VALIDATE: Final = "http://jabber.org/protocol/xdata-validate"
_FIELDS: Final = frozenset(
    (FORM_TYPE, "with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"),
)
_MOST_IDS: Final = 1000
_LONGEST: Final = 1000  # characters of a queryid, which goes back with every message


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages are asked for (§4.1), and which page of them (§4.3). Times are in microseconds, None or empty is
    what was not said. `flip` asks for the page in reverse order (§4.3.4)."""

    queryid: str | None = None
    peer: JID | None = None
    start: int | None = None
    end: int | None = None
    before_id: str = ""
    after_id: str = ""
    ids: tuple[str, ...] = ()
    page: PageRequest = field(default_factory=PageRequest)
    flip: bool = False

    @classmethod
    def parse(cls, query: Element) -> Query:
        """From the `<query/>` of a request. Raises StanzaError: bad-request for what is no form, time or number,
        jid-malformed, feature-not-implemented for a field that is not known (§4.1.5) and for a node (XEP-0442),
        policy-violation for more than 1,000 ids and for a very long queryid."""
        if query.get("node"):
            raise StanzaError("feature-not-implemented", "There are no archives of nodes.")
        x = query.child(ns.DATA, "x")
        form = Form("submit") if x is None else Form.parse(x)
        form.expect(ns.MAM)
        unknown = next((each.var for each in form.fields if each.var not in _FIELDS), None)
        if unknown is not None:
            raise StanzaError("feature-not-implemented", f"The field {unknown} is not known.")
        form.boolean("include-groupchat")  # there are none
        queryid = query.attrs.get("queryid")
        if queryid is not None and len(queryid) > _LONGEST:
            raise StanzaError("policy-violation", f"A queryid has at most {_LONGEST} characters.")
        ids = tuple(form.texts("ids"))
        if len(ids) > _MOST_IDS:
            raise StanzaError("policy-violation", f"There are more than {_MOST_IDS} ids.")
        return cls(
            queryid,
            form.jid("with"),
            _time(form, "start"),
            _time(form, "end"),
            form.text("before-id"),
            form.text("after-id"),
            ids,
            PageRequest.parse(query),
            query.child(ns.MAM, "flip-page") is not None,
        )


def _time(form: Form, var: str) -> int | None:
    text = form.text(var).strip()
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise StanzaError("bad-request", f"{var} is no time as XEP-0082 has it.") from error


def query_form() -> Element:
    """The fields that a query can have (§4.1.5), in the `<query/>` that answers who asks for them."""
    form = Form.of(
        "form",
        ns.MAM,
        Field("with", kind="jid-single"),
        Field("start", kind="text-single"),
        Field("end", kind="text-single"),
        Field("before-id", kind="text-single"),
        Field("after-id", kind="text-single"),
        Field("ids", kind="list-multi"),
        Field("include-groupchat", kind="boolean"),
    ).element()
    for each in form:
        if each.get("var") == "ids":
            open_ = Element(_VALIDATE, "open")
            each.add(Element(_VALIDATE, "validate", {"datatype": "xs:string"}, [open_]))
    return Element(ns.MAM, "query", {}, [form])


class Results:
    """Makes the messages that carry what was found to one who asked (§4.2)."""

    def __init__(self, archive: JID, to: JID, queryid: str | None) -> None:
        named = "" if queryid is None else f" queryid='{attribute(queryid)}'"
        self._open = f"<message xmlns='{ns.CLIENT}' to='{to.xml}' from='{archive.xml}'>".encode()
        self._result = f"<result xmlns='{ns.MAM}'{named} id='"

    def payload(self, id: str, at: int, stanza: bytes) -> bytes:
        """The `<result/>` with the message of this id, that came at this time; `stanza` names its namespace."""
        head = (
            f"{self._result}{id}'><forwarded xmlns='{ns.FORWARD}'><delay xmlns='{ns.DELAY}' stamp='{format_time(at)}'/>"
        )
        return b"".join((head.encode(), stanza, b"</forwarded></result>"))

    def message(self, id: str, at: int, stanza: bytes) -> bytes:
        """The message that carries it."""
        return b"".join((self._open, self.payload(id, at, stanza), b"</message>"))


def fin(page: Page, *, complete: bool) -> Element:
    """The end of an answer: which page it was, and whether it was the last in the direction of paging (§4.3.2)."""
    return Element(ns.MAM, "fin", {"complete": "true"} if complete else {}, [page.element()])


def metadata(ends: tuple[tuple[str, int], tuple[str, int]] | None) -> Element:
    """Id and time of the first and the last message of an archive (§5); None: it is empty."""
    element = Element(ns.MAM, "metadata")
    for name, (id, at) in zip(("start", "end"), ends or (), strict=False):
        element.add(Element(ns.MAM, name, {"id": id, "timestamp": format_time(at)}))
    return element
