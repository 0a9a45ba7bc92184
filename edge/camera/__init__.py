"""Live cameras: kept running, and checked.

supervisor   reads one camera in a thread, names what is wrong with it, and reopens it
picture      whether the picture shows anything, or is frozen, black or covered
lateness     whether the board processes frames as often as the settings ask for
"""
