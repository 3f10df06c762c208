"""An XMPP server: chat, groups, media and encryption on open standards."""

__version__ = "0.1.0"
