"""``fmd doctor``: check whether this machine can run fmd, and state how to fix each problem.

    facts      access to the machine: files under a root, commands, this Python
    findings   the result of a check: ok, note, warning or error, with the fix
    machine    the board: system, power, heat, memory, disk, clock, users, the service
    software   Python, virtual environment, libraries, each imported in a process of its own
    devices    camera and pins of the settings
    checks     all of these in order
    probes     the code that those processes run, with fmd's own drivers and models

``edge.commands.doctor`` prints the findings as lines or as JSON. Only ``probes`` needs fmd's
libraries, and it runs in other processes: the doctor must report a NumPy that cannot be imported, and a runtime that
crashes.
"""
