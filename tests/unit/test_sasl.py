"""The list of mechanisms, PLAIN, encodings, and what is kept of a password."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
from sasl_client import ScramClient
from scramp import ScramMechanism

from xmpp_server.protocol.credentials import HASHES, Credentials
from xmpp_server.stream.sasl import (
    Challenge,
    Exchange,
    Failed,
    InvalidPassword,
    NeedCredentials,
    NeedWork,
    Step,
    Succeeded,
    channel_binding_feature,
    decode,
    encode,
    make_verifiers,
    offered,
)
from xmpp_server.stream.sasl.verifiers import prepare_password

HOST = "shakespeare.lit"
SECRET = b"0123456789abcdef0123456789abcdef"
PASSWORD = "R0m30-\u2764"
STORED = Credentials(make_verifiers(PASSWORD, 4096))


def exchange(mechanism: str = "PLAIN", *, offers: list[str] | None = None) -> Exchange:
    return Exchange(
        mechanism,
        HOST,
        offered=offered(encrypted=True) if offers is None else offers,
        secret=SECRET,
        bindings={},
        iterations=4096,
    )


def plain(username: str, password: str, authzid: str = "") -> bytes:
    return f"{authzid}\0{username}\0{password}".encode()


def login(message: bytes, credentials: Credentials | None = STORED) -> Step:
    server = exchange()
    step = server.start(message)
    if isinstance(step, NeedCredentials):
        step = server.give_credentials(credentials)
    return step.work() if isinstance(step, NeedWork) else step


# The list.


def test_the_strongest_mechanism_is_offered_first_and_plain_last() -> None:
    assert offered(encrypted=True, bindings=["tls-exporter"]) == [
        "SCRAM-SHA-512-PLUS",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    ]


def test_plain_is_offered_under_encryption_only() -> None:
    assert "PLAIN" not in offered(encrypted=False)
    assert "PLAIN" in offered(encrypted=False, plain_without_tls=True)


def test_without_a_channel_binding_no_plus_mechanism_is_offered() -> None:
    assert offered(encrypted=True, hashes=["sha256"]) == ["SCRAM-SHA-256", "PLAIN"]


@pytest.mark.parametrize(
    ("mechanism", "condition"),
    [
        ("PLAIN", "encryption-required"),
        ("SCRAM-SHA-256-PLUS", "invalid-mechanism"),
        ("DIGEST-MD5", "invalid-mechanism"),
        ("scram-sha-256", "invalid-mechanism"),
        ("-PLUS", "invalid-mechanism"),
        ("", "invalid-mechanism"),
    ],
)
@pytest.mark.parametrize("initial", [None, b"", b"\0juliet\0secret"])
def test_a_mechanism_that_was_not_offered_is_refused(mechanism: str, condition: str, initial: bytes | None) -> None:
    step = exchange(mechanism, offers=offered(encrypted=False)).start(initial)
    assert isinstance(step, Failed)
    assert step.condition == condition


def test_the_channel_bindings_are_listed_as_xep_0440_shows_it() -> None:
    assert channel_binding_feature(["tls-server-end-point", "tls-exporter"]).to_bytes() == (
        b"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"
        b"<channel-binding type='tls-server-end-point'/>"
        b"<channel-binding type='tls-exporter'/>"
        b"</sasl-channel-binding>"
    )


# Calls.


def test_an_abort_ends_the_attempt() -> None:
    server = exchange()
    assert server.start(None) == Challenge(b"")
    assert server.abort() == Failed("aborted")
    with pytest.raises(RuntimeError):
        server.respond(plain("juliet", PASSWORD))


def test_each_call_is_legal_only_after_the_step_that_asks_for_it() -> None:
    server = exchange("SCRAM-SHA-256")
    client = ScramClient("sha256", "juliet", PASSWORD)
    with pytest.raises(RuntimeError):
        server.respond(client.first())
    with pytest.raises(RuntimeError):
        server.give_credentials(STORED)
    assert server.start(client.first()) == NeedCredentials("juliet")
    with pytest.raises(RuntimeError):
        server.start(client.first())
    with pytest.raises(RuntimeError):
        server.respond(client.first())
    step = server.give_credentials(STORED)
    assert isinstance(step, Challenge)
    with pytest.raises(RuntimeError):
        server.give_credentials(STORED)
    assert isinstance(server.respond(client.final(step.data)), Succeeded)
    with pytest.raises(RuntimeError):
        server.respond(client.final(step.data))


# Encoding: RFC 6120 §6.4.2, RFC 4648 §4.


@pytest.mark.parametrize(
    ("text", "data"),
    [("=", b""), ("", b""), ("AA==", b"\0"), ("AGp1bGlldABy", b"\0juliet\0r"), ("+/+/", b"\xfb\xff\xbf")],
)
def test_base64_is_decoded(text: str, data: bytes) -> None:
    assert decode(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AA=",
        "AA===",
        "AB==",
        "AA== ",
        " AA==",
        "A A=",
        "AA==\n",
        "AA==AA==",
        "====",
        "==",
        "AA=A",
        "-_-_",
        "ÄÄÄÄ",
    ],
)
def test_what_is_not_canonical_base64_has_an_incorrect_encoding(text: str) -> None:
    step = decode(text)
    assert isinstance(step, Failed)
    assert step.condition == "incorrect-encoding"


def test_a_message_beyond_the_limit_is_not_even_decoded() -> None:
    assert decode(encode(b"x" * 8192)) == b"x" * 8192
    step = decode("A" * 10_000_000)
    assert isinstance(step, Failed)
    assert step.condition == "malformed-request"


def test_an_empty_challenge_is_written_as_nothing() -> None:
    assert encode(b"") == ""
    assert encode(b"\0") == "AA=="


# PLAIN: RFC 4616.


def test_plain_logs_in_by_each_hash_that_may_be_stored() -> None:
    for hash_ in HASHES:
        assert login(plain("Juliet", PASSWORD), Credentials({hash_: STORED.verifiers[hash_]})) == Succeeded("juliet")


def test_plain_without_an_initial_response_gets_an_empty_challenge() -> None:
    server = exchange()
    assert server.start(None) == Challenge(b"")
    assert server.respond(plain("juliet", PASSWORD)) == NeedCredentials("juliet")


def test_the_work_of_plain_can_be_done_in_any_thread() -> None:
    server = exchange()
    server.start(plain("juliet", PASSWORD))
    need = server.give_credentials(STORED)
    assert isinstance(need, NeedWork)
    steps: list[Step] = []
    thread = threading.Thread(target=lambda: steps.append(need.work()))
    thread.start()
    thread.join()
    assert steps == [Succeeded("juliet")]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"\0\0",
        b"juliet\0secret",
        b"\0juliet\0",
        b"\0\0secret",
        b"\0juliet\0sec\0ret",
        b"\0juliet\0\xff",
        b"\0" + b"j" * 1024 + b"\0secret",
        b"\0juliet\0" + b"s" * 1024,
    ],
)
def test_a_message_that_is_not_one_of_plain_is_malformed(message: bytes) -> None:
    step = login(message)
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("malformed-request", False)


@pytest.mark.parametrize("authzid", ["juliet@shakespeare.lit", "JULIET@shakespeare.lit"])
def test_with_plain_ones_own_bare_address_may_be_given(authzid: str) -> None:
    assert login(plain("juliet", PASSWORD, authzid)) == Succeeded("juliet")


@pytest.mark.parametrize("authzid", ["romeo@shakespeare.lit", "juliet", "juliet@shakespeare.lit/x", "juliet@a.example"])
def test_with_plain_nobody_acts_for_somebody_else(authzid: str) -> None:
    step = login(plain("juliet", PASSWORD, authzid))
    assert isinstance(step, Failed)
    assert step.condition == "invalid-authzid"


def guesses() -> list[tuple[bytes, Credentials | None]]:
    return [
        (plain("juliet", "wrong"), STORED),
        (plain("juliet", PASSWORD + " "), STORED),
        (plain("juliet", "\u0007"), STORED),  # no password by RFC 4013
        (plain("nobody", PASSWORD), None),
        (plain("juliet@shakespeare.lit", PASSWORD), STORED),  # no localpart
        (plain("juliet", PASSWORD), Credentials({})),
        (plain("juliet", "wrong"), Credentials(STORED.verifiers, disabled=True)),
    ]


@pytest.mark.parametrize(("message", "credentials"), guesses())
def test_all_wrong_guesses_fail_alike_and_cost_the_same(
    message: bytes, credentials: Credentials | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = []
    derive = hashlib.pbkdf2_hmac

    def count(hash_: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        work.append((hash_, len(salt), iterations))
        return derive(hash_, password, salt, iterations)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", count)
    step = login(message, credentials)
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", True)
    assert step == login(plain("juliet", "wrong"))
    assert work == [("sha512", 16, 4096)] * 2


def test_a_disabled_account_is_told_only_with_the_right_password() -> None:
    step = login(plain("juliet", PASSWORD), Credentials(STORED.verifiers, disabled=True))
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("account-disabled", False)


# What is kept.


@pytest.mark.parametrize("number", range(len(HASHES)))
def test_verifiers_are_those_that_scramp_makes(number: int) -> None:
    hash_, mechanism = HASHES[number], ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"][number]
    ours = make_verifiers("pencil", 4096)[hash_]
    theirs = ScramMechanism(mechanism).make_auth_info("pencil", iteration_count=4096, salt=ours.salt)
    assert (ours.salt, ours.stored_key, ours.server_key, ours.iterations) == theirs


def test_every_verifier_has_a_salt_of_its_own_and_ten_thousand_iterations() -> None:
    verifiers = [*make_verifiers("pencil").values(), *make_verifiers("pencil").values()]
    assert len({verifier.salt for verifier in verifiers}) == 6
    assert {len(verifier.salt) for verifier in verifiers} == {16}
    assert {verifier.iterations for verifier in verifiers} == {10_000}


def test_too_few_iterations_are_refused() -> None:
    with pytest.raises(ValueError):
        make_verifiers("pencil", 4095)


@pytest.mark.parametrize("password", ["", "\u00ad", "x" * 1024, "\u00e9" * 512, "\ud800"])
def test_no_verifiers_are_made_of_what_is_no_password(password: str) -> None:
    with pytest.raises(InvalidPassword):
        make_verifiers(password, 4096)


# The examples of RFC 4013 §3, and what it maps and prohibits in §2.
@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b\u3000c", "a b c"),
        ("cafe\u0301", "caf\u00e9"),
        (" pass word ", " pass word "),
        ("\U0001f984", "\U0001f984"),  # unassigned in Unicode 3.2
        ("\u05d0\u05d1", "\u05d0\u05d1"),
    ],
)
def test_passwords_are_prepared_by_saslprep(password: str, prepared: str) -> None:
    assert prepare_password(password) == prepared.encode()


@pytest.mark.parametrize(
    "password", ["\u0007", "a\x7f", "\u0627\u0031", "\u05d0a\u05d0", "\ue000", "\ufffd", "\u200e", "a\n"]
)
def test_passwords_that_saslprep_prohibits_are_refused(password: str) -> None:
    with pytest.raises(InvalidPassword):
        prepare_password(password)


def test_neither_passwords_nor_keys_are_shown() -> None:
    server = exchange()
    shown: list[Any] = [server, server.start(plain("juliet", PASSWORD)), server.give_credentials(STORED), STORED]
    shown.append(Succeeded("juliet", b"v=signature"))
    text = repr(shown)
    verifier = STORED.verifiers["sha256"]
    for secret in (PASSWORD, repr(verifier.stored_key), repr(verifier.server_key), "signature", repr(SECRET)):
        assert secret not in text
