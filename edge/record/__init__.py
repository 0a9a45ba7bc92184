"""What outlasts a restart: the event log."""
