"""Commands of ``fmd``, one file each: ``add_options(parser)`` declares the options, ``run(arguments)`` does the work.

:mod:`edge.commands.main` holds the table of commands. A command's file imports numpy, OpenCV and what needs them inside
:func:`run`: help, shell completion and the manual page read the options on machines that lack those libraries, and a
Raspberry Pi takes seconds to load them.
"""
