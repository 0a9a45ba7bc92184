"""Simulated doors by the hundred, on a real hub: mosquitto, Prometheus and Alertmanager. ``__main__`` is the command.

scene.py     people who come past a door, drawn and read by a scripted detector and model
camera.py    the camera of such a door, with faults
door.py      one door: fmd's own loop, publisher and metrics on that camera; and a lighter one without a loop
wire.py      the network of a door, which can be cut
workers.py   processes that hold doors
fleet.py     a hub and its doors, joined
serve.py     commands that change doors while they run
hub.py       the hub's processes, on free ports in a folder of their own
webhook.py   receiver of Alertmanager's notifications, with arrival times
usage.py     processor time and memory of processes
checks.py    what is measured: each function returns a table
"""
