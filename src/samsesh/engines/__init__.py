"""Engines make reality match a plan: one file or folder each, none knows another."""
