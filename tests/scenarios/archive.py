"""What tests of archives (XEP-0313) ask with, and what they get."""

from __future__ import annotations

from collections.abc import Sequence

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

from .world import Client, World

ROMEO = "romeo@localhost"
JULIET = "juliet@capulet.example"
RSM = "http://jabber.org/protocol/rsm"


def form(**fields: str | Sequence[str]) -> str:
    """The form of a query with these fields; `_` stands for the hyphen, and at the end of what Python reserves."""
    rows = []
    for name, values in fields.items():
        listed = [values] if isinstance(values, str) else values
        texts = "".join(f"<value>{value}</value>" for value in listed)
        rows.append(f"<field var='{name.rstrip('_').replace('_', '-')}'>{texts}</field>")
    hidden = f"<field var='FORM_TYPE' type='hidden'><value>{ns.MAM}</value></field>"
    return f"<x xmlns='{ns.DATA}' type='submit'>{hidden}{''.join(rows)}</x>"


def rsm(**parts: str | int | None) -> str:
    inner = "".join(f"<{name}/>" if value is None else f"<{name}>{value}</{name}>" for name, value in parts.items())
    return f"<set xmlns='{RSM}'>{inner}</set>"


class Answer:
    """What a query brought."""

    def __init__(self, results: list[Element], fin: Element) -> None:
        self.results = results
        self.fin = fin
        page = fin.child(RSM, "set")
        assert page is not None
        self.page = page
        self.complete = fin.get("complete") == "true"

    @property
    def ids(self) -> list[str]:
        return [result.get("id") for result in self.results]

    @property
    def messages(self) -> list[Element]:
        return [message for result in self.results if (message := forwarded(result).child(ns.CLIENT, "message"))]

    @property
    def bodies(self) -> list[str]:
        return [message.child_text(ns.CLIENT, "body") for message in self.messages]

    def rsm(self, name: str) -> str:
        return self.page.child_text(RSM, name)


def forwarded(result: Element) -> Element:
    (element,) = result
    assert (element.ns, element.name) == (ns.FORWARD, "forwarded")
    return element


async def query(client: Client, payload: str = "", attrs: str = "") -> Answer:
    """Ask for what stands in the archive; what else came is read and forgotten."""
    await client.receives_all()
    client.inbox.clear()
    answer = await client.request("set", f"<query xmlns='{ns.MAM}'{attrs}>{payload}</query>")
    assert answer.get("type") == "result", answer
    results = []
    for stanza in client.inbox:
        result = stanza.child(ns.MAM, "result")
        assert result is not None
        assert (stanza.get("to"), stanza.get("from")) == (client.jid, client.jid.partition("/")[0])
        results.append(result)
    client.inbox.clear()
    fin = answer.child(ns.MAM, "fin")
    assert fin is not None
    return Answer(results, fin)


async def refused(client: Client, payload: str, to: str = "") -> str:
    """The condition of the error that the query is answered with, without any result."""
    client.inbox.clear()
    answer = await client.request("set", f"<query xmlns='{ns.MAM}'>{payload}</query>", to)
    assert answer.get("type") == "error"
    await client.receives_nothing()
    error = answer.child(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error if child.ns == ns.STANZA_ERRORS)


async def couple(world: World) -> tuple[Client, Client]:
    return await world.login(f"{ROMEO}/orchard"), await world.login(f"{JULIET}/balcony")


async def talk(world: World, *bodies: str, to: str = JULIET) -> Client:
    """Romeo says all this."""
    romeo = await world.login(f"{ROMEO}/orchard")
    for body in bodies:
        romeo.send(f"<message to='{to}' type='chat'><body>{body}</body></message>")
    await world.settle()
    romeo.inbox.clear()
    return romeo


def stanza_ids(message: Element) -> list[tuple[str, str]]:
    return [
        (child.get("by"), child.get("id")) for child in message if (child.ns, child.name) == (ns.STANZA_ID, "stanza-id")
    ]
