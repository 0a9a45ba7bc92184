"""The drawings and tables of the documentation, made by code: ``python -m docs.draw`` writes them all anew.

svg         lines, boxes and words on a sheet
symbols     resistor, LED, transistor and the like
wiring      a Raspberry Pi's and a Jetson's header and what hangs on it
signals     what LED and buzzer do, from the default settings
mounting    face sizes and angles from a camera's field of view
structure   how the parts of fmd hang together
"""
