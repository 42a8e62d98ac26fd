"""The splitter: one TCP port for https and TURN, the only one that some networks let out. Their first bytes differ.

A process of its own, as the agent is, of the standard library only: every byte of the site passes through it.
"""
