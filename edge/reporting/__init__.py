"""What a run reports, and where.

listener      interface of everything that follows a run
live_state    latest state and counters of every camera
reporter      messages for publishers and the event log; outbox queues them
metrics       snapshots of all counters; servers keeps the servers listening
status_file   status.json for other processes
console       lines on standard output
annotate      pictures with boxes and labels, faces blurred
predictor     faces and labels of single pictures
"""
