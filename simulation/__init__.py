"""Simulated doors: composed passages, fault drills, doorway clips and a fleet, each with a command of its own.

python -m simulation.passages   people composed from labelled faces walk past the real pipeline
python -m simulation.drills     camera faults at random times, on a simulated clock
python -m simulation.clips      doorway clips composed from labelled faces
python -m simulation.fleet      a hundred doors on a real hub: broker, Prometheus and Alertmanager
"""
