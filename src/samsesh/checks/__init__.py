"""One check of the doctor a file; found by being there (registry.py), shapes in diagnosis.py."""
