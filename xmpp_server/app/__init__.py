"""The composition root: puts the parts together, and starts and stops them."""

from .core import Core

__all__ = ["Core"]
