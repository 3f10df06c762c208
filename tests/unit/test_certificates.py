import hashlib
import os
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from xmpp_server.net.certificates import VALID_DAYS, CertificateError, CertificateFiles, generate, is_due, load
from xmpp_server.net.tls_contexts import TLSContexts

NOW = datetime.now(UTC)
SHA256 = hashes.SHA256()


def write(
    directory: Path,
    names: list[str],
    key: CertificateIssuerPrivateKeyTypes | None = None,
    *,
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=30),
    algorithm: hashes.SHA256 | hashes.SHA384 | None = SHA256,
) -> CertificateFiles:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common.example")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    directory.mkdir(exist_ok=True)
    files = CertificateFiles(directory / "chain.pem", directory / "key.pem")
    files.chain.write_bytes(builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(pem(key))
    return files


def pem(key: CertificateIssuerPrivateKeyTypes, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def refusal(files: CertificateFiles) -> str:
    with pytest.raises(CertificateError) as caught:
        load(files)
    return str(caught.value)


def test_a_generated_certificate_is_for_the_domain_and_the_names_under_it(tmp_path: Path) -> None:
    certificate = generate("a.example", tmp_path)
    assert certificate.names == {"a.example", "*.a.example"}
    assert load(certificate.files).chain == certificate.chain


def test_a_generated_certificate_is_for_the_components_that_are_named(tmp_path: Path) -> None:
    assert generate("a.example", tmp_path, ["rooms.a.example"]).names == {"a.example", "rooms.a.example"}


def test_a_generated_certificate_for_an_address_carries_the_address(tmp_path: Path) -> None:
    assert generate("[::1]", tmp_path).names == {"::1"}
    certificate = generate("192.0.2.1", tmp_path)
    names = certificate.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("192.0.2.1")]


def test_a_generated_certificate_carries_a_domain_of_other_scripts_as_a_labels(tmp_path: Path) -> None:
    certificate = generate("bücher.example", tmp_path)
    assert certificate.names == {"xn--bcher-kva.example", "*.xn--bcher-kva.example"}
    assert certificate.covers("bücher.example")


def test_a_generated_certificate_lasts_as_long_as_clients_allow(tmp_path: Path) -> None:
    left = generate("a.example", tmp_path).time_left()
    assert timedelta(days=VALID_DAYS - 1) < left <= timedelta(days=825)


def test_a_generated_certificate_is_due_thirty_days_before_it_expires_and_after(tmp_path: Path) -> None:
    certificate = generate("a.example", tmp_path)
    end = certificate.leaf.not_valid_after_utc
    assert not is_due(certificate.files)
    assert not is_due(certificate.files, end - timedelta(days=31))
    assert is_due(certificate.files, end - timedelta(days=29))
    assert is_due(certificate.files, end + timedelta(days=1))


def test_a_certificate_from_elsewhere_is_never_due(tmp_path: Path) -> None:
    expired = write(tmp_path, ["a.example"], ends=NOW - timedelta(hours=1))
    assert not is_due(expired)
    assert not is_due(CertificateFiles(tmp_path / "none.crt", tmp_path / "none.key"))


def test_a_generated_certificate_passes_openssls_strict_checks_once_it_is_trusted(tmp_path: Path) -> None:
    path = generate("a.example", tmp_path).files.chain
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "rooms.a.example"]
    result = subprocess.run([*command, "-CAfile", path, path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_generated_key_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = generate("a.example", tmp_path).files
    finally:
        os.umask(before)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_generating_again_replaces_the_files_and_leaves_no_others(tmp_path: Path) -> None:
    first = generate("a.example", tmp_path)
    second = generate("a.example", tmp_path)
    assert load(first.files).leaf.serial_number == second.leaf.serial_number != first.leaf.serial_number
    assert {path.name for path in tmp_path.iterdir()} == {"a.example.crt", "a.example.key"}


@pytest.mark.parametrize("domain", ["", "../a", "a..b", "a/b", "a\0b"])
def test_a_domain_that_is_no_file_name_is_refused(tmp_path: Path, domain: str) -> None:
    with pytest.raises(ValueError):
        generate(domain, tmp_path / "certificates")
    assert not (tmp_path / "certificates").exists()


# RFC 9525 §6.3: the wildcard is the whole left-most label and stands for exactly one.
@pytest.mark.parametrize(
    ("name", "domain", "covered"),
    [
        ("a.example", "a.example", True),
        ("A.Example", "a.eXAMPLE", True),
        ("a.example", "b.a.example", False),
        ("a.example", "example", False),
        ("*.a.example", "b.a.example", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", "c.b.a.example", False),
        ("*.a.example", ".a.example", False),
        ("b*.a.example", "bc.a.example", False),
        ("*", "example", False),
        ("xn--bcher-kva.example", "BÜCHER.example", True),
    ],
)
def test_names_are_compared_label_by_label(tmp_path: Path, name: str, domain: str, covered: bool) -> None:
    assert load(write(tmp_path, [name])).covers(domain) is covered


def test_the_common_name_counts_for_nothing(tmp_path: Path) -> None:
    assert not load(write(tmp_path, [])).covers("common.example")


def test_a_key_that_is_not_the_certificates_is_refused_with_both_files_named(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"])
    files.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    assert refusal(files) == f"{files.key}: is not the key of the certificate in {files.chain}"


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"], ends=NOW - timedelta(minutes=1))
    assert refusal(files).startswith(f"{files.chain}: expired at ")


def test_a_certificate_of_the_future_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"], begins=NOW + timedelta(hours=1))
    assert refusal(files).startswith(f"{files.chain}: is not valid before ")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"])
    files.key.unlink()
    assert refusal(files) == f"{files.key}: No such file or directory"
    files.chain.unlink()
    assert refusal(files) == f"{files.chain}: No such file or directory"


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    files = write(tmp_path, ["a.example"])
    key = files.key.read_bytes()
    files.key.write_bytes(content)
    assert refusal(files) == f"{files.key}: holds no private key in PEM form"
    files.key.write_bytes(key)
    files.chain.write_bytes(content)
    assert refusal(files) == f"{files.chain}: holds no certificate in PEM form"


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"])
    files.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    assert "is encrypted" in refusal(files)


def test_a_kind_of_key_that_clients_do_not_know_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"], ed25519.Ed25519PrivateKey.generate(), algorithm=None)
    assert "neither ECDSA nor RSA" in refusal(files)


def test_a_key_that_is_too_small_is_refused_with_the_file_named(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    files = write(tmp_path, ["a.example"], key)
    with pytest.raises(CertificateError, match=r"chain\.pem: OpenSSL does not take it: ee key too small"):
        TLSContexts({"a.example": files})


def test_chain_and_key_may_be_one_file(tmp_path: Path) -> None:
    files = write(tmp_path, ["a.example"])
    one = tmp_path / "both.pem"
    one.write_bytes(files.chain.read_bytes() + files.key.read_bytes())
    assert load(CertificateFiles(one, one)).covers("a.example")


# RFC 5929 §4.1: the hash of the signature, SHA-256 in place of MD5 and SHA-1.
@pytest.mark.parametrize(("algorithm", "name"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384")])
def test_the_end_point_binding_is_hashed_as_the_certificate_was_signed(
    tmp_path: Path, algorithm: hashes.SHA256 | hashes.SHA384, name: str
) -> None:
    certificate = load(write(tmp_path, ["a.example"], algorithm=algorithm))
    der = ssl.PEM_cert_to_DER_cert(certificate.files.chain.read_text())
    assert certificate.end_point == hashlib.new(name, der).digest()


# Made by `openssl req -x509 -sha1`: the library that signs in these tests refuses SHA-1.
def test_the_end_point_binding_of_a_sha1_certificate_is_a_sha256(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-sha1", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.example"]
    subprocess.run([*command, "-out", chain, "-keyout", key], check=True, capture_output=True)
    der = ssl.PEM_cert_to_DER_cert(chain.read_text())
    assert load(CertificateFiles(chain, key)).end_point == hashlib.sha256(der).digest()


def test_a_reload_tells_which_hosts_have_another_certificate(tmp_path: Path) -> None:
    hosts = {name: generate(name, tmp_path).files for name in ("a.example", "b.example")}
    contexts = TLSContexts(hosts)
    assert contexts.reload() == ((), ())
    new = generate("b.example", tmp_path)
    assert contexts.reload() == (("b.example",), ())
    assert contexts.certificates()["b.example"].chain == new.chain


def test_a_host_whose_files_are_refused_keeps_its_certificate_and_holds_up_no_other(tmp_path: Path) -> None:
    hosts = {name: generate(name, tmp_path).files for name in ("a.example", "b.example")}
    contexts = TLSContexts(hosts)
    old = contexts.certificates()
    new = generate("b.example", tmp_path)
    hosts["a.example"].key.write_bytes(hosts["b.example"].key.read_bytes())
    renewed, refused = contexts.reload()
    assert renewed == ("b.example",)
    assert [str(error) for error in refused] == [
        f"{hosts['a.example'].key}: is not the key of the certificate in {hosts['a.example'].chain}"
    ]
    assert contexts.certificates()["a.example"] is old["a.example"]
    assert contexts.certificates()["b.example"].chain == new.chain


def test_a_reload_takes_another_set_of_hosts(tmp_path: Path) -> None:
    a, b = generate("a.example", tmp_path), generate("b.example", tmp_path)
    contexts = TLSContexts({"a.example": a.files})
    assert contexts.reload({"b.example": b.files}) == (("b.example",), ())
    assert contexts.for_host("a.example").certificate.chain == b.chain


def test_a_host_is_served_its_own_certificate_and_a_component_the_one_that_covers_it(tmp_path: Path) -> None:
    a, b, c = (generate(name, tmp_path) for name in ("a.example", "b.example", "c.b.example"))
    contexts = TLSContexts({"a.example": a.files, "b.example": b.files, "c.b.example": c.files})

    def served(domain: str) -> x509.Certificate:
        return contexts.for_host(domain).certificate.leaf

    assert served("B.example") == b.leaf
    assert served("rooms.b.example") == b.leaf
    assert served("c.b.example") == c.leaf
    assert served("elsewhere.example") == a.leaf
    assert served("") == a.leaf


def test_no_host_at_all_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError):
        TLSContexts({})
