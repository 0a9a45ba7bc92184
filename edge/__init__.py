"""fmd at the door: what runs on the Pi or the Jetson. Needs neither TensorFlow nor converter.

    capture -> watch -> detect -> track -> classify -> decide -> alert      one stage a file, joined in pipeline.py

    cli, commands    argv, and what each command does
    service          models, stages, outputs and signals around the pipeline
    live, pulse      live cameras in turn; what systemd hears
    pace             does the machine keep up with what the settings ask?
    world            time, and the threads beside a run
    sight            does a camera's picture show anything, or is it frozen, black, covered?
    address          where a network camera is, and what of that may be told
    faults           what can go wrong with a camera, to be rehearsed
    contracts        what passes between the stages: shapes, units, colour order
    bundle, config   a model file and the contract in it; the settings
    migrate          settings of earlier versions
    install, trial   which model files are in use; a new one beside the old
    errors           everything that can go wrong, as one tree
    pixels           pictures made smaller and larger
    events           what happened, on the card, within a budget
    publish          decisions, health and figures to whoever listens
    outbox           a queue and a thread before each receiver
    speech           the sound at the door, and how it is made
    board            temperature, throttling and memory
    off              outputs off after fmd was killed
    word             what one process leaves for another to find
    replay           clips of a door, and what fmd must make of them
    doctor/          is this machine fit, and what cures it?
    predict, annotate   pictures instead of people; what was seen, drawn
    drivers/         cameras, pins and TFLite runtimes, one file each; the only place that imports them

Commands and service wire everything; the pipeline knows the stages; stages and drivers know the contracts, not each
other. Read pipeline.py first.
"""
