"""The web page: a process and user of its own, which knows fmd only through a socket of the running service.

password.py      scrypt hashes and the file with one per role; needs the standard library alone
"""
