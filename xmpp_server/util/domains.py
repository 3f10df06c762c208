"""Domains as certificates and URLs carry them."""

from __future__ import annotations


def ascii_domain(domain: str) -> str:
    """The form in which certificates, SNI and URLs have a domain: lower case, A-labels, an address without brackets."""
    labels = domain.lower().strip("[]").rstrip(".").split(".")
    return ".".join(label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in labels)
