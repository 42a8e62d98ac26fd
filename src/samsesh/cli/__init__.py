"""The command line: parses, calls ops, prints."""
