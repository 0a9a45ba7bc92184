"""The hub of many doors: who may connect to its broker, and which doors its Prometheus reads.

files.py      the hub's files and what is known of each member; one process changes them at a time
broker.py     mosquitto's users, their rights, its certificate, and making it read its files again
folder.py     the folder that the owner copies to a door, to a site's broker, or to a program that reads
"""
