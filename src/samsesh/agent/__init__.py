"""The agent: a small program beside the services that hands certificates on, has programs read them again, and starts
what is to be done daily.

The standard library only, and little of it: it runs for as long as the server does and has next to nothing to do.
"""
