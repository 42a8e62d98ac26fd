"""One file per service: `offer(context)` says what it has for others, `units(context, offer)` what it runs."""
