"""Suites that other servers are held to, run against this one and its peers: `python -m tests.conformance --help`."""
