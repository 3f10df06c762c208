"""SCRAM against the examples of the RFCs, against three clients, and against clients that cheat."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from sasl_client import ScramClient
from scramp import ScramClient as ScrampClient
from slixmpp.util.sasl import client as slixmpp_sasl

from xmpp_server.protocol.credentials import Credentials, Hash, Verifier
from xmpp_server.stream.sasl import (
    Challenge,
    Exchange,
    Failed,
    NeedCredentials,
    Step,
    Succeeded,
    make_verifiers,
    offered,
)

HOST = "shakespeare.lit"
SECRET = b"0123456789abcdef0123456789abcdef"
BINDINGS = {"tls-exporter": b"E" * 32, "tls-server-end-point": b"P" * 32}
PASSWORD = "pencil"
STORED = Credentials(make_verifiers(PASSWORD, 4096))
HASHES: dict[str, Hash] = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
WITH_PLUS = offered(encrypted=True, bindings=BINDINGS)
WITHOUT_PLUS = offered(encrypted=True)


def exchange(mechanism: str = "SCRAM-SHA-256", *, offers: list[str] = WITH_PLUS, nonce: str = "") -> Exchange:
    return Exchange(
        mechanism,
        HOST,
        offered=offers,
        secret=SECRET,
        bindings=BINDINGS,
        iterations=4096,
        server_nonce=nonce,
    )


def challenge(exchange: Exchange, client: ScramClient, credentials: Credentials | None = STORED) -> bytes:
    assert isinstance(exchange.start(client.first()), NeedCredentials)
    step = exchange.give_credentials(credentials)
    assert isinstance(step, Challenge)
    return step.data


def login(exchange: Exchange, client: ScramClient, credentials: Credentials | None = STORED) -> Step:
    return exchange.respond(client.final(challenge(exchange, client, credentials)))


def stored(hash_: Hash, password: str, salt: str, iterations: int) -> Credentials:
    """By RFC 5802 §3, apart from the code that is tested."""
    salted = hashlib.pbkdf2_hmac(hash_, password.encode(), b64decode(salt), iterations)
    client_key = hmac.new(salted, b"Client Key", hash_).digest()
    server_key = hmac.new(salted, b"Server Key", hash_).digest()
    return Credentials(
        {hash_: Verifier(b64decode(salt), iterations, hashlib.new(hash_, client_key).digest(), server_key)}
    )


# The examples of RFC 5802 §5 and RFC 7677 §3.
EXAMPLES = [
    (
        "SCRAM-SHA-1",
        "QSXCR+Q6sek8bf92",
        "3rfcNHYJY1ZVvWVs7j",
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "SCRAM-SHA-256",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize(("mechanism", "salt", "nonce", "first", "server_first", "final", "server_final"), EXAMPLES)
def test_the_examples_of_the_rfcs_come_out_octet_for_octet(
    mechanism: str, salt: str, nonce: str, first: bytes, server_first: bytes, final: bytes, server_final: bytes
) -> None:
    server = exchange(mechanism, nonce=nonce)
    assert server.start(first) == NeedCredentials("user")
    assert server.give_credentials(stored(HASHES[mechanism], "pencil", salt, 4096)) == Challenge(server_first)
    assert server.respond(final) == Succeeded("user", server_final)


@pytest.mark.parametrize("mechanism", HASHES)
def test_a_client_without_an_initial_response_gets_an_empty_challenge_first(mechanism: str) -> None:
    server, client = exchange(mechanism), ScramClient(HASHES[mechanism], "juliet", PASSWORD)
    assert server.start(None) == Challenge(b"")
    assert server.respond(client.first()) == NeedCredentials("juliet")
    step = server.give_credentials(STORED)
    assert isinstance(step, Challenge)
    step = server.respond(client.final(step.data))
    assert isinstance(step, Succeeded)
    assert client.accepts(step.data)


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize("kind", BINDINGS)
def test_each_channel_binding_logs_in(mechanism: str, kind: str) -> None:
    client = ScramClient(HASHES[mechanism], "juliet", PASSWORD, gs2=f"p={kind},,", binding=BINDINGS[kind])
    step = login(exchange(f"{mechanism}-PLUS"), client)
    assert isinstance(step, Succeeded)
    assert step.localpart == "juliet"
    assert client.accepts(step.data)


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize("bound", [False, True])
def test_scramp_logs_in_and_accepts_the_server(mechanism: str, bound: bool) -> None:
    name = f"{mechanism}-PLUS" if bound else mechanism
    binding = ("tls-server-end-point", BINDINGS["tls-server-end-point"]) if bound else None
    client = ScrampClient([name], "juliet,=", PASSWORD, channel_binding=binding)
    server = exchange(name)
    assert server.start(client.get_client_first().encode()) == NeedCredentials("juliet,=")
    step = server.give_credentials(STORED)
    assert isinstance(step, Challenge)
    client.set_server_first(step.data.decode())
    step = server.respond(client.get_client_final().encode())
    assert isinstance(step, Succeeded)
    assert step.data is not None
    client.set_server_final(step.data.decode())


def slixmpp_client(mechanisms: list[str], *, binding: bytes = b"", plus_offered: bool = False) -> slixmpp_sasl.Mech:
    credentials = {"username": "juliet", "password": PASSWORD, "channel_binding": binding}
    settings = {
        "encrypted": True,
        "unencrypted_scram": False,
        "tls_version": "TLSv1.3",
        "binding_proposed": plus_offered,
    }
    return slixmpp_sasl.choose(mechanisms, lambda *_: dict(credentials), lambda _: settings)


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize(
    ("bound", "offers"), [(True, WITH_PLUS), (False, WITH_PLUS), (False, WITHOUT_PLUS)], ids=["p", "n", "y"]
)
def test_slixmpp_logs_in_and_accepts_the_server(mechanism: str, bound: bool, offers: list[str]) -> None:
    name = f"{mechanism}-PLUS" if bound else mechanism
    binding = BINDINGS["tls-exporter"] if bound else b""
    client = slixmpp_client([name], binding=binding, plus_offered=offers is WITH_PLUS)
    server = exchange(name, offers=offers)
    assert server.start(client.process()) == NeedCredentials("juliet")
    step = server.give_credentials(STORED)
    assert isinstance(step, Challenge)
    step = server.respond(client.process(step.data))
    assert isinstance(step, Succeeded)
    client.process(step.data)
    assert client._mutual_auth


def test_a_wrong_password_is_not_authorized() -> None:
    step = login(exchange(), ScramClient("sha256", "juliet", "pencils"))
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", True)


# Channel binding: RFC 5802 §6.


def test_a_client_from_whose_offer_the_plus_mechanisms_were_cut_is_refused() -> None:
    step = exchange("SCRAM-SHA-256").start(ScramClient("sha256", "juliet", PASSWORD, gs2="y,,").first())
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", False)


def test_where_no_plus_mechanism_is_offered_a_client_may_say_so() -> None:
    client = ScramClient("sha256", "juliet", PASSWORD, gs2="y,,")
    assert isinstance(login(exchange(offers=WITHOUT_PLUS), client), Succeeded)


def test_the_binding_of_another_channel_is_refused_although_the_password_is_right() -> None:
    client = ScramClient("sha256", "juliet", PASSWORD, gs2="p=tls-exporter,,", binding=b"X" * 32)
    step = login(exchange("SCRAM-SHA-256-PLUS"), client)
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", False)


def test_a_relay_cannot_exchange_one_kind_of_binding_for_another() -> None:
    client = ScramClient("sha256", "juliet", PASSWORD, gs2="p=tls-exporter,,", binding=BINDINGS["tls-server-end-point"])
    assert isinstance(login(exchange("SCRAM-SHA-256-PLUS"), client), Failed)


def test_a_relay_cannot_change_the_flag() -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD, gs2="y,,")
    assert isinstance(server.start(client.first().replace(b"y,,", b"n,,")), NeedCredentials)
    step = server.give_credentials(STORED)
    assert isinstance(step, Challenge)
    step = server.respond(client.final(step.data))
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", False)


@pytest.mark.parametrize("kind", ["tls-unique", "tls-unique-for-telnet", "x"])
def test_a_binding_that_is_not_supported_is_refused(kind: str) -> None:
    client = ScramClient("sha256", "juliet", PASSWORD, gs2=f"p={kind},,")
    step = exchange("SCRAM-SHA-256-PLUS").start(client.first())
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", False)


@pytest.mark.parametrize(
    ("mechanism", "gs2"),
    [("SCRAM-SHA-256-PLUS", "n,,"), ("SCRAM-SHA-256-PLUS", "y,,"), ("SCRAM-SHA-256", "p=tls-exporter,,")],
)
def test_a_flag_that_does_not_belong_to_the_mechanism_is_malformed(mechanism: str, gs2: str) -> None:
    step = exchange(mechanism).start(ScramClient("sha256", "juliet", PASSWORD, gs2=gs2).first())
    assert isinstance(step, Failed)
    assert step.condition == "malformed-request"


# Grammar: RFC 5802 §7.


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n=juliet,r=abc",
        b",,n=juliet,r=abc",
        b"N,,n=juliet,r=abc",
        b"n,n=juliet,r=abc",
        b"n,,r=abc,n=juliet",
        b"n,,n=juliet",
        b"n,,n=juliet,r=",
        b"n,,n=,r=abc",
        b"n,,n=juliet,r=abc,",
        b"n,,n=juliet,,r=abc",
        b"n,,n=juliet,r=a b",
        b"n,,n=juliet,r=a\x7f",
        b"n,,n=juliet,r=\xc3\xa4",
        b"n,,n=juliet,r=abc\n",
        b"\nn,,n=juliet,r=abc",
        b"n,,n=juliet,r=abc\0",
        b"n,,n=jul\0iet,r=abc",
        b"n,,n=jul=iet,r=abc",
        b"n,,n=juliet=2c,r=abc",
        b"n,,n=juliet=,r=abc",
        b"n,,n=\xff\xfe,r=abc",
        b"n,,n=\xed\xa0\x80,r=abc",
        b"n,a=,n=juliet,r=abc",
        b"n,juliet@shakespeare.lit,n=juliet,r=abc",
        b"p=,,n=juliet,r=abc",
        b"p=tls_exporter,,n=juliet,r=abc",
        b"p,,n=juliet,r=abc",
        b"n,,m=x,n=juliet,r=abc",
        b"n,,n=juliet,r=abc,m=x",
        b"n,,n=juliet,r=abc,n=romeo",
        b"n,,n=juliet,r=abc,r=abc",
        b"n,,n=juliet,r=abc,x",
        b"n,,n=juliet,r=abc,x=",
        b"n,,n=juliet,r=abc,xy=z",
        b"n,,n=juliet,r=" + b"a" * 1025,
    ],
)
def test_a_first_message_that_breaks_the_grammar_is_malformed(first: bytes) -> None:
    step = exchange().start(first)
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("malformed-request", False)


@pytest.mark.parametrize(
    "change",
    [
        lambda final: b"",
        lambda final: final + b",",
        lambda final: final + b",x=1",
        lambda final: final + b"\n",
        lambda final: final.replace(b"c=", b"C="),
        lambda final: final.replace(b"c=biws,", b""),
        lambda final: final.replace(b"c=biws", b"c="),
        lambda final: final.replace(b"c=biws", b"c=biw"),
        lambda final: final.replace(b"c=biws", b"c=bi ws"),
        lambda final: final.partition(b",p=")[0],
        lambda final: final.partition(b",p=")[0] + b",p=",
        lambda final: final.replace(b",p=", b",m=x,p="),
        lambda final: final.replace(b",p=", b",p=AAAA,p="),
        lambda final: final.rstrip(b"="),
        lambda final: final + b"=",
        lambda final: final[:-2] + b"B=",
        lambda final: b"\xff" + final,
    ],
)
def test_a_final_message_that_breaks_the_grammar_is_malformed(change: Callable[[bytes], bytes]) -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD)
    final = client.final(challenge(server, client))
    step = server.respond(change(final))
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("malformed-request", False)


def test_optional_extensions_are_passed_over_and_stay_under_the_proof() -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD)
    client.first_bare += ",x=one,Y=zwei=\u00e4"
    step = server.respond(client.final(challenge(server, client), extensions=",z=drei"))
    assert isinstance(step, Succeeded)
    assert client.accepts(step.data)


@pytest.mark.parametrize("proof", [b"", b"x", b"x" * 31, b"x" * 33, b"\0" * 32, b"x" * 6000])
def test_a_proof_of_any_length_that_does_not_fit_is_a_wrong_password(proof: bytes) -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD)
    unproven = client.final(challenge(server, client)).partition(b",p=")[0]
    step = server.respond(unproven + b",p=" + (b64encode(proof) or b"="))
    assert isinstance(step, Failed)
    assert step.condition == ("not-authorized" if proof else "malformed-request")


# Replays.


def test_a_final_message_of_another_exchange_is_refused() -> None:
    client = ScramClient("sha256", "juliet", PASSWORD)
    first_server, second_server = exchange(), exchange()
    final = client.final(challenge(first_server, client))
    assert isinstance(first_server.respond(final), Succeeded)
    assert challenge(second_server, client)
    step = second_server.respond(final)
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("not-authorized", False)


@pytest.mark.parametrize("nonce", ["x", "fyko+d2lbbFgONRv9qkxdawL"])
def test_a_nonce_that_is_not_the_whole_one_is_refused(nonce: str) -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD)
    step = server.respond(client.final(challenge(server, client), nonce=nonce))
    assert isinstance(step, Failed)
    assert step.condition == "not-authorized"


def test_every_exchange_has_a_nonce_of_its_own() -> None:
    client = ScramClient("sha256", "juliet", PASSWORD)
    assert len({challenge(exchange(), client) for _ in range(50)}) == 50


def test_after_a_failure_nothing_more_can_be_tried() -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD)
    final = client.final(challenge(server, client))
    wrong = final.partition(b",p=")[0] + b",p=" + b64encode(b"x" * 32)
    assert isinstance(server.respond(wrong), Failed)
    with pytest.raises(RuntimeError):
        server.respond(final)


# Who exists stays unknown.


def salt_of(server_first: bytes) -> bytes:
    return server_first.split(b",")[1]


@pytest.mark.parametrize("mechanism", HASHES)
def test_an_unknown_name_gets_a_stable_salt_that_looks_like_a_real_one(mechanism: str) -> None:
    def ask(name: str, credentials: Credentials | None) -> bytes:
        return challenge(exchange(mechanism), ScramClient(HASHES[mechanism], name, PASSWORD), credentials)

    unknown, real = ask("nobody", None), ask("juliet", STORED)
    assert salt_of(unknown) == salt_of(ask("nobody", None)) == salt_of(ask("NoBody", None))
    assert salt_of(unknown) != salt_of(ask("nobody2", None))
    assert len(unknown) == len(real)
    assert unknown.rpartition(b",")[2] == real.rpartition(b",")[2] == b"i=4096"


def test_the_salts_of_unknown_names_differ_by_hash_by_host_and_by_secret() -> None:
    salts = set()
    for mechanism, host, secret in [
        ("SCRAM-SHA-1", "a.example", SECRET),
        ("SCRAM-SHA-256", "a.example", SECRET),
        ("SCRAM-SHA-256", "b.example", SECRET),
        ("SCRAM-SHA-256", "b.example", b"other"),
    ]:
        server = Exchange(mechanism, host, offered=WITH_PLUS, secret=secret, bindings={})
        salts.add(salt_of(challenge(server, ScramClient(HASHES[mechanism], "nobody", PASSWORD), None)))
    assert len(salts) == 4


def test_an_unknown_account_a_missing_verifier_and_a_wrong_password_fail_alike() -> None:
    unknown = login(exchange(), ScramClient("sha256", "nobody", PASSWORD), None)
    missing = login(
        exchange(), ScramClient("sha256", "juliet", PASSWORD), Credentials({"sha1": STORED.verifiers["sha1"]})
    )
    wrong = login(exchange(), ScramClient("sha256", "juliet", "wrong"))
    assert isinstance(unknown, Failed)
    assert unknown == missing == wrong


@pytest.mark.parametrize("username", ["juliet@shakespeare.lit", "a b", "a/b", "\u2163", "x" * 1024, "<", "\u200b"])
def test_a_name_that_cannot_be_one_goes_to_the_end_and_fails_like_a_wrong_password(username: str) -> None:
    server, client = exchange(), ScramClient("sha256", username, PASSWORD)
    step = server.start(client.first())
    assert isinstance(step, Challenge)
    again = exchange().start(client.first())
    assert isinstance(again, Challenge)
    assert salt_of(step.data) == salt_of(again.data)
    assert server.respond(client.final(step.data)) == login(exchange(), ScramClient("sha256", "juliet", "wrong"))


def test_a_disabled_account_is_told_only_to_who_knows_its_password() -> None:
    disabled = Credentials(STORED.verifiers, disabled=True)
    right = login(exchange(), ScramClient("sha256", "juliet", PASSWORD), disabled)
    wrong = login(exchange(), ScramClient("sha256", "juliet", "wrong"), disabled)
    assert isinstance(right, Failed)
    assert (right.condition, right.guessed) == ("account-disabled", False)
    assert wrong == login(exchange(), ScramClient("sha256", "nobody", "wrong"), None)


# Names.


@pytest.mark.parametrize(
    ("username", "localpart"),
    [
        ("Juliet", "juliet"),
        ("a,b=c", "a,b=c"),
        ("=2C", "=2c"),
        ("STRASSE\u00df", "strasse\u00df"),
        ("\u212b", "\u00e5"),
    ],
)
def test_a_user_name_is_unescaped_and_prepared_as_a_localpart(username: str, localpart: str) -> None:
    assert exchange().start(ScramClient("sha256", username, PASSWORD).first()) == NeedCredentials(localpart)


@pytest.mark.parametrize("authzid", ["juliet@shakespeare.lit", "Juliet@Shakespeare.LIT"])
def test_ones_own_bare_address_may_be_given_as_the_authorization_identity(authzid: str) -> None:
    client = ScramClient("sha256", "juliet", PASSWORD, gs2=f"n,a={authzid},")
    assert isinstance(login(exchange(), client), Succeeded)


@pytest.mark.parametrize(
    "authzid",
    [
        "romeo@shakespeare.lit",
        "juliet@capulet.lit",
        "juliet@shakespeare.lit/balcony",
        "juliet",
        "shakespeare.lit",
        "@shakespeare.lit",
        "juliet@",
        "a b@shakespeare.lit",
        "=2C",
    ],
)
def test_nobody_acts_for_somebody_else(authzid: str) -> None:
    step = exchange().start(ScramClient("sha256", "juliet", PASSWORD, gs2=f"n,a={authzid},").first())
    assert isinstance(step, Failed)
    assert (step.condition, step.guessed) == ("invalid-authzid", False)


def test_a_relay_cannot_add_an_authorization_identity() -> None:
    server, client = exchange(), ScramClient("sha256", "juliet", PASSWORD)
    first = client.first().replace(b"n,,", b"n,a=juliet@shakespeare.lit,")
    assert isinstance(server.start(first), NeedCredentials)
    step = server.give_credentials(STORED)
    assert isinstance(step, Challenge)
    assert isinstance(server.respond(client.final(step.data)), Failed)
