"""The service around the pipeline.

run            one run: opens everything, watches, closes everything; reloads
cameras        live cameras in turn
models         which model files are used
model_store    models installed on this board
shadow_run     a new model beside the current one
confined       interpreters in child processes, for root
outputs        outputs of a run; outputs_off switches them off after a kill
signals        SIGTERM, SIGINT, SIGHUP
arming         whether fmd is armed: commands, schedule and clock; arming_control keeps it
control_server requests to a running fmd through its control socket
systemd        ready, watchdog and status
runtime        clock and threads, which drills replace
"""
