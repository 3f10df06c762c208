"""Stanza errors of RFC 6120 §8.3.3, stream errors of §4.9.3, and the legacy codes of XEP-0086."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import STANZA_CONDITIONS, STREAM_CONDITIONS, StanzaError, StreamError

# RFC 6120 §8.3.3: condition and the type that is recommended, in the RFC's order
RFC_6120 = """
    bad-request               modify
    conflict                  cancel
    feature-not-implemented   cancel
    forbidden                 auth
    gone                      cancel
    internal-server-error     cancel
    item-not-found            cancel
    jid-malformed             modify
    not-acceptable            modify
    not-allowed               cancel
    not-authorized            auth
    policy-violation          modify
    recipient-unavailable     wait
    redirect                  modify
    registration-required     auth
    remote-server-not-found   cancel
    remote-server-timeout     wait
    resource-constraint       wait
    service-unavailable       cancel
    subscription-required     auth
    unexpected-request        wait
"""

# XEP-0086 §3, table 1: condition, type, legacy code
XEP_0086 = """
    bad-request               modify  400
    conflict                  cancel  409
    feature-not-implemented   cancel  501
    forbidden                 auth    403
    gone                      modify  302
    internal-server-error     wait    500
    item-not-found            cancel  404
    jid-malformed             modify  400
    not-acceptable            modify  406
    not-allowed               cancel  405
    not-authorized            auth    401
    payment-required          auth    402
    recipient-unavailable     wait    404
    redirect                  modify  302
    registration-required     auth    407
    remote-server-not-found   cancel  404
    remote-server-timeout     wait    504
    resource-constraint       wait    500
    service-unavailable       cancel  503
    subscription-required     auth    407
    undefined-condition       [any]   500
    unexpected-request        wait    400
"""

# RFC 6120 §4.9.3
STREAM = """
    bad-format bad-namespace-prefix conflict connection-timeout host-gone host-unknown improper-addressing
    internal-server-error invalid-from invalid-namespace invalid-xml not-authorized not-well-formed policy-violation
    remote-connection-failed reset resource-constraint restricted-xml see-other-host system-shutdown
    undefined-condition unsupported-encoding unsupported-feature unsupported-stanza-type unsupported-version
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


@pytest.mark.parametrize(("condition", "type"), rows(RFC_6120))
def test_a_stanza_error_has_the_type_that_the_rfc_recommends(condition: str, type: str) -> None:
    assert StanzaError(condition).element().get("type") == type


@pytest.mark.parametrize(("condition", "_type", "code"), rows(XEP_0086))
def test_a_stanza_error_has_the_legacy_code(condition: str, _type: str, code: str) -> None:
    assert StanzaError(condition).element().get("code") == code


def test_there_are_no_other_conditions_than_those_of_the_specifications() -> None:
    named = {row[0] for row in rows(RFC_6120)} | {row[0] for row in rows(XEP_0086)}
    assert set(STANZA_CONDITIONS) == named
    assert set(STREAM.split()) == STREAM_CONDITIONS


def test_a_stanza_error_is_written_condition_first() -> None:
    error = StanzaError("item-not-found", "No such & such", type="wait", application=Element("urn:app", "detail"))
    assert error.element().to_bytes() == (
        b"<error type='wait' code='404' xml:lang='en'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>No such &amp; such</text>"
        b"<detail xmlns='urn:app'/></error>"
    )
    assert StanzaError("conflict").element().to_bytes() == (
        b"<error type='cancel' code='409'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )


def test_an_unknown_condition_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        StanzaError("no-such-condition")
    with pytest.raises(ValueError):
        StreamError("no-such-condition")


@pytest.mark.parametrize("condition", STREAM.split())
def test_a_stream_error_names_its_condition(condition: str) -> None:
    element = parse(StreamError(condition, "Why").element().to_bytes())
    assert (element.ns, element.name) == ("http://etherx.jabber.org/streams", "error")
    assert [(child.ns, child.name) for child in element] == [
        ("urn:ietf:params:xml:ns:xmpp-streams", condition),
        ("urn:ietf:params:xml:ns:xmpp-streams", "text"),
    ]


def test_a_stream_error_is_written_with_the_prefix_that_clients_expect() -> None:
    error = StreamError("policy-violation", application=Element("urn:app", "detail"))
    assert error.element().to_bytes() == (
        b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<detail xmlns='urn:app'/></stream:error>"
    )
