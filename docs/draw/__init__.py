"""Drawings and tables of the documentation, generated: ``python -m docs.draw`` writes them all.

svg         lines, boxes and text on a sheet
symbols     resistor, LED, transistor and other circuit symbols
wiring      header of a Raspberry Pi and of a Jetson, with the circuit on it
signals     patterns of LED and buzzer, from the default settings
mounting    face sizes and angles, from a camera's field of view
regions     parts of the picture to ignore or to watch
structure   packages of fmd and the way of a frame
heatmap     what decides for a model: ``python -m docs.draw.heatmap MODEL``, as it needs a model that fmd-convert makes
"""
