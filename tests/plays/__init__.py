"""Plays of our own, in the language of scansion (`tests/interop/scansion.py`): who sends what, and who sees what.

They are performed in memory (`tests/scenarios/test_plays.py`) and over TCP and TLS (`tests/server/test_plays.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

PLAYS: Final = sorted(Path(__file__).parent.glob("*.scs"))
