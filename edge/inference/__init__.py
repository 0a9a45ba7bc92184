"""Model files and what prepares pictures for them.

bundle        a model file with its contract and golden inputs, and the replay that proves it on this machine
resize        resizing of pictures for a network's input
picture_file  reading and writing of picture files
evidence      whether a detection is a face, by detector and classifier together
"""
