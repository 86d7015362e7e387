"""Watchkeeper stands watch over machine-learning models in production, and keeps them working."""

__all__ = ["__version__"]

__version__ = "0.1.0"
