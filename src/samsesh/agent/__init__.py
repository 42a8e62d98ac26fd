"""The agent: a small program beside the services that hands certificates on, and has programs read them again.

The standard library only, and little of it: it runs for as long as the server does and has next to nothing to do.
"""
