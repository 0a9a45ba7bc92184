"""``fmd doctor``: is this machine fit to watch a door, and if not, what cures it?

    facts      where the answers come from: files under a root, commands, this Python
    findings   what a check says: fine, worth knowing, doubtful, or to be cured
    machine    the board: system, power, heat, memory, disk, clock, users, the service
    software   Python, virtual environment, libraries, each imported in a process of its own
    devices    camera and pins, as the settings name them
    probes     the code those processes run, with fmd's own drivers and models
    command    all checks in order, as lines or as JSON

Only ``probes`` needs fmd's libraries, and only in other processes: the doctor must speak where NumPy does not import
and where a runtime ends in a segmentation fault.
"""
