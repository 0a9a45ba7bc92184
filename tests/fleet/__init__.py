"""Tests of what a fleet of doors needs: configuration of existing programs, and what fmd adds to them."""
