"""Typed clients of the programs that we run."""
