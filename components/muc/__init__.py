"""Multi-user chat: rooms.

A room (`room.py`, and a file for each of its features) is pure: a stanza goes in, what it brings about comes out. The
service (`service.py`) brings rooms from the database when somebody speaks to them, writes what has to stand before
anybody is told, and sends.

XEP: 0045 (1.35.5) complete
XEP: 0249 (1.2) complete
XEP: 0410 (1.1.0) complete
XEP: 0421 (1.0.1) complete
XEP: 0433 (0.1.0) complete
"""

from __future__ import annotations

from .service import Muc

__all__ = ["Muc"]
