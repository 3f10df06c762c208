"""The composition root: puts the parts together, and starts and stops them."""

from .core import Core
from .run import run
from .server import App

__all__ = ["App", "Core", "run"]
