"""What can be done to a server: plain functions for the command line and the panel alike."""
