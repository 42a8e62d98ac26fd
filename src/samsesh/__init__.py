"""Samsesh: a complete, private chat platform (Matrix) from one command."""

__version__ = "0.1.0"
