"""The record: passages, events and sums in one database, and what is computed from it."""
