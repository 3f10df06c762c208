"""The certificates that a configuration asks for: found, or made where there is none; and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from xmpp_server.config import Config
from xmpp_server.net.certificates import Certificate, CertificateError, CertificateFiles, generate, is_due

_log = structlog.get_logger()

_SOON: Final = timedelta(days=14)


def find(config: Config) -> dict[str, CertificateFiles]:
    """The files of each host, made if the host names none, there are none, and that is allowed; those that were made so
    are made anew before they expire. Raises CertificateError and OSError."""
    found: dict[str, CertificateFiles] = {}
    for domain, host in config.hosts.items():
        files = found[domain] = CertificateFiles(*config.certificate_files(domain))
        if host.certificate:
            continue
        missing = not files.chain.exists() and not files.key.exists()
        if missing and not config.options.tls.self_signed:
            raise CertificateError(f"{files.chain}: there is no certificate for {domain}")
        if missing or (config.options.tls.self_signed and is_due(files)):
            generate(domain, config.certificates)
            _log.info("certificate_made", host=domain, file=str(files.chain))
    return found


def warn(certificates: Mapping[str, Certificate]) -> None:
    """Write to the log what clients will refuse, now or soon."""
    for domain, certificate in certificates.items():
        file = str(certificate.files.chain)
        if not certificate.covers(domain):
            _log.warning("certificate_of_other_names", host=domain, file=file, names=sorted(certificate.names))
        left = certificate.time_left()
        if left < _SOON:
            _log.warning("certificate_expires", host=domain, file=file, days=left.days)
