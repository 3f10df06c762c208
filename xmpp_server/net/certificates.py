"""Certificates of the hosts: read from PEM files, checked before they are used, and made for a first start.

A pair of files is either good as a whole or refused with a sentence that names the file: readable, in date, the key
that of the certificate. Names are compared as RFC 9525 §6.3 says, dNSName and iPAddress only (never the common name).
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xmpp_server.util.domains import ascii_domain

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

VALID_DAYS: Final = 825
"""How long a generated certificate lasts: Apple's systems refuse those that last longer."""
_BEHIND: Final = timedelta(hours=1)  # clients whose clock is a little behind
_RENEWED: Final = timedelta(days=30)  # before they expire


class CertificateError(Exception):
    """A certificate or key that is not used; the text names the file and says why."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a host's certificate is: the PEM chain, leaf first, and the PEM key; both may be one file."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A checked pair: the chain as it is sent (leaf first), the key of the leaf."""

    files: CertificateFiles
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def names(self) -> frozenset[str]:
        """What the leaf is for: A-labels in lower case, `*.` for a wildcard, addresses in their short form."""
        try:
            names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            return frozenset()
        domains = (name.lower() for name in names.get_values_for_type(x509.DNSName))
        addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
        return frozenset((*domains, *addresses))

    def covers(self, domain: str) -> bool:
        """Whether a client that wants `domain` accepts it; a wildcard stands for one whole label (RFC 9525 §6.3)."""
        return any(name in self.names for name in matching_names(domain))

    def time_left(self, now: datetime | None = None) -> timedelta:
        """Until the leaf expires; negative after that."""
        return self.leaf.not_valid_after_utc - (now or datetime.now(UTC))

    @property
    def end_point(self) -> bytes | None:
        """The channel binding tls-server-end-point (RFC 5929 §4.1); None where the RFC defines none, as for Ed25519."""
        try:
            algorithm = self.leaf.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return None
        if algorithm is None:
            return None
        if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
            algorithm = hashes.SHA256()
        return self.leaf.fingerprint(algorithm)


@lru_cache(1024)
def matching_names(domain: str) -> tuple[str, ...]:
    """The names of a certificate that cover `domain`: its own, and the wildcard in place of its first label."""
    name = ascii_domain(domain)
    if _is_address(name):
        return (str(ipaddress.ip_address(name)),)
    label, _, parent = name.partition(".")
    return (name, f"*.{parent}") if label and parent else (name,)


def load(files: CertificateFiles, now: datetime | None = None) -> Certificate:
    """Reads and checks a pair.

    Raises CertificateError: a file cannot be read or parsed, the key is encrypted, of another kind than ECDSA or RSA,
    or not the leaf's, the leaf is not valid yet or any more.
    """
    chain = _read_chain(files.chain)
    key = _read_key(files.key)
    leaf = chain[0]
    if leaf.public_key() != key.public_key():
        raise CertificateError(f"{files.key}: is not the key of the certificate in {files.chain}")
    now = now or datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        raise CertificateError(f"{files.chain}: expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if leaf.not_valid_before_utc > now:
        raise CertificateError(f"{files.chain}: is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    return Certificate(files, chain, key)


def generate(domain: str, directory: Path, components: Iterable[str] | None = None) -> Certificate:
    """Makes a self-signed certificate (ECDSA P-256) for a domain and writes `domain.crt` and `domain.key` (mode 0600).

    Without `components` the certificate is for every name directly under the domain (`*.domain`), otherwise for those
    named, as whole domains. Files that exist are replaced, each in one step, the key first: who loads the pair in
    between finds a mismatch and keeps what it has. Raises OSError, and ValueError for a domain that makes no file name.
    """
    name = ascii_domain(domain)
    if not all(name.split(".")) or "/" in name or "\0" in name:
        raise ValueError(f"not a domain: {domain!r}")
    address = _is_address(name)
    if components is None:
        components = () if address else (f"*.{name}",)
    names = tuple(dict.fromkeys((name, *map(ascii_domain, components))))
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(name, names, key)
    directory.mkdir(parents=True, exist_ok=True)
    files = CertificateFiles(chain=directory / f"{name}.crt", key=directory / f"{name}.key")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(files.key, pem, 0o600)
    _replace(files.chain, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return Certificate(files, (certificate,), key)


def is_due(files: CertificateFiles, now: datetime | None = None) -> bool:
    """Whether the certificate is one that `generate` made, and is to be made anew: 30 days before it expires."""
    try:
        leaf, *others = _read_chain(files.chain)
    except CertificateError:
        return False
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    generated = not others and leaf.issuer == leaf.subject and lifetime == timedelta(days=VALID_DAYS) + _BEHIND
    return generated and leaf.not_valid_after_utc - (now or datetime.now(UTC)) < _RENEWED


def _self_signed(name: str, names: tuple[str, ...], key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # The common name is for people only and holds 64 characters at most (RFC 5280, upper bounds).
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    # Servers authenticate to each other as TLS clients too (RFC 6120 §13.7).
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEHIND)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(_read(path)))
    except ValueError:
        raise CertificateError(f"{path}: holds no certificate in PEM form") from None


def _read_key(path: Path) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise CertificateError(f"{path}: the key is encrypted, which is not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path}: holds no private key in PEM form") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(f"{path}: the key is neither ECDSA nor RSA, which is what clients understand")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from None


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Writes a file so that a reader, or a start after a crash, sees all of the old or all of the new."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
