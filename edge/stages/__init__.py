"""Stages of the pipeline, one per file: watch, detect, regions, track, static, schedule, classify, decide,
alert.

A stage imports contracts, settings and :mod:`edge.inference`, and no other stage. Time comes with the frame.
"""
