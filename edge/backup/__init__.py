"""Backup of a door in one file, and its restoration: settings, installed models, record.

archive     the file: a zip with a manifest; read as if a stranger had made it
sources     what a backup holds, and writing it
settings    settings in it, with or without their secrets
snapshot    copy of the record while the service writes it, and the check of such a copy
restore     check everything, then put it in place: all or nothing
swap        exchange of several files that can be undone
"""
