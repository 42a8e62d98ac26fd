"""Docker Compose: the plan as containers."""
