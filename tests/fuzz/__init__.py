"""Fuzzer of everything that fmd reads from strangers: seeded mutations of valid inputs, each target with limits.

    python -m tests.fuzz                        2,000 cases over all targets, and the table
    python -m tests.fuzz --cases 100000 --keep FOLDER
    python -m tests.fuzz --target bundle --case 17   one case again, in this process, with its traceback
    python -m tests.fuzz --target bundle --atheris   guided by coverage, where atheris is installed

A case may end in the target's expected errors. Any other exception, a crash of the process, a case of more than 25 s
and a batch that needs more than 512 MB are findings; the exit code is then 1.
"""
