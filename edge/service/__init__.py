"""The service around the pipeline.

run            one run: opens everything, watches, closes everything; reloads
cameras        live cameras in turn
models         which model files are used
model_store    models installed on this board
shadow_run     a new model beside the current one
outputs        outputs of a run; outputs_off switches them off after a kill
signals        SIGTERM, SIGINT, SIGHUP
systemd        ready, watchdog and status
runtime        clock and threads, which drills replace
"""
