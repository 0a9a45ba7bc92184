"""Configuration of existing programs for many doors. docs/fleet.md has the steps; no door needs any of it."""
