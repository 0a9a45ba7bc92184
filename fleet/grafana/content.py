"""What the two dashboards show. Every query uses metrics of fmd, or values that the rules of the hub record."""

from __future__ import annotations

from fleet.grafana.panels import Content, Kind, Panel, Query, Section

OK, BAD, WARN = "green", "red", "orange"
OF_SITE = 'site=~"$site"'
OF_DOOR = 'site="$site",door="$door"'
STATES = {"1": ("yes", OK), "0": ("no", BAD)}
NONE_IS_GOOD = ((0, OK), (1, BAD))
TO_DOOR = "/d/fmd-door?var-site=${__data.fields.Site}&var-door=${__data.fields.Door}"


def count(title: str, description: str, expression: str, limits: tuple[tuple[float, str], ...] = NONE_IS_GOOD) -> Panel:
    """Return a panel with one number, which is 0 if the expression has no result."""
    query = Query(f"count({expression}) or vector(0)")
    return Panel(title, description, [query], Kind.STAT, width=3, height=4, limits=limits)


def passages(outcomes: str) -> str:
    """Return the query for passages of an hour with these outcomes, by site."""
    return f'sum by (site) (door:passages:increase1h{{outcome=~"{outcomes}",{OF_SITE}}})'


FLEET = Content(
    uid="fmd-fleet",
    title="fmd: all doors",
    description="Which doors are silent, blind, slow or outdated, and what people do at them.",
    variables=[("site", "Site", 'label_values(up{job="fmd"}, site)', True)],
    sections=[
        Section(
            "Now",
            [
                count("Doors", "Doors that the hub knows.", f"door:up:max{{{OF_SITE}}}", ((0, OK),)),
                count("Silent", "Doors that do not answer.", f"door:silent:bool{{{OF_SITE}}} == 1"),
                count("Blind", "Cameras without a usable picture.", f"fmd_blind{{{OF_SITE}}} == 1"),
                count("Alarm", "Doors whose alarm is on.", f"fmd_alarm{{{OF_SITE}}} == 1", ((0, OK), (1, WARN))),
                count("Disarmed", "Disarmed doors.", f"fmd_armed{{{OF_SITE}}} == 0", ((0, OK), (1, WARN))),
                count("Too slow", "Cameras that are read too rarely.", f"fmd_too_slow{{{OF_SITE}}} == 1"),
                count(
                    "Outdated",
                    "Doors older than half of all doors.",
                    f"door:version_number:max{{{OF_SITE}}} < on () group_left () fleet:version_number:median",
                ),
                count(
                    "Alerts",
                    "Alerts that fire, without the hub's heartbeat.",
                    f'ALERTS{{alertstate="firing",severity!="heartbeat",{OF_SITE}}}',
                ),
            ],
        ),
        Section(
            "Alerts",
            [
                Panel(
                    "Alerts that fire",
                    "Sorted by what is urgent. The mail of an alert says what to do.",
                    [Query(f'ALERTS{{alertstate="firing",severity!="heartbeat",{OF_SITE}}}')],
                    Kind.TABLE,
                    width=24,
                    names=[
                        ("severity", "Severity"),
                        ("alertname", "Alert"),
                        ("site", "Site"),
                        ("door", "Door"),
                        ("camera", "Camera"),
                    ],
                )
            ],
        ),
        Section(
            "Doors",
            [
                Panel(
                    "All doors",
                    "One line for each door; a click on a site opens the door.",
                    [
                        Query(f"max by (site, door) (door:up:max{{{OF_SITE}}})"),
                        Query(f"max by (site, door) (fmd_blind{{{OF_SITE}}})"),
                        Query(f"max by (site, door) (door:armed:max{{{OF_SITE}}})"),
                        Query(f"sum by (site, door) (door:frames:rate1m{{{OF_SITE}}})"),
                        Query(f"max by (site, door) (door:late_seconds:p95_5m{{{OF_SITE}}})"),
                        Query(f"max by (site, door) (fmd_temperature_celsius{{{OF_SITE}}})"),
                        Query(f"max by (site, door) (fmd_disk_free_bytes{{{OF_SITE}}})"),
                        Query(f"max by (site, door) (fmd_uptime_seconds{{{OF_SITE}}})"),
                    ],
                    Kind.TABLE,
                    width=24,
                    height=14,
                    names=[
                        ("site", "Site"),
                        ("door", "Door"),
                        ("Value #A", "Answers"),
                        ("Value #B", "Blind"),
                        ("Value #C", "Armed"),
                        ("Value #D", "Frames/s"),
                        ("Value #E", "Late (95%)"),
                        ("Value #F", "Temperature"),
                        ("Value #G", "Disk free"),
                        ("Value #H", "Uptime"),
                    ],
                    units={
                        "Value #D": "short",
                        "Value #E": "s",
                        "Value #F": "celsius",
                        "Value #G": "bytes",
                        "Value #H": "s",
                    },
                    link=TO_DOOR,
                )
            ],
        ),
        Section(
            "People",
            [
                Panel(
                    "Passages per hour",
                    "People who passed, by outcome, over all selected sites.",
                    [Query(f"sum by (outcome) (door:passages:increase1h{{{OF_SITE}}})", "{{outcome}}")],
                    stacked=True,
                ),
                Panel(
                    "Share of passages without a violation, by site",
                    "As decided, not corrected for errors of the model. The report of a door has the corrected value.",
                    [
                        Query(
                            f"{passages('compliant')} / ({passages('compliant|violated')} > 0)",
                            "{{site}}",
                        )
                    ],
                    unit="percentunit",
                ),
            ],
        ),
        Section(
            "Software",
            [
                Panel(
                    "Doors by version",
                    "How far a roll-out is.",
                    [Query(f'count by (version) (fmd_build_info{{version!="",{OF_SITE}}})', "{{version}}")],
                    Kind.BARS,
                    width=8,
                ),
                Panel(
                    "Doors by classifier and detector",
                    "Which models decide.",
                    [
                        Query(
                            f"count by (model, classifier_sha, detector_sha) (door:model:info{{{OF_SITE}}})",
                            "{{model}} {{classifier_sha}} {{detector_sha}}",
                        )
                    ],
                    Kind.BARS,
                    width=8,
                ),
                Panel(
                    "Doors by board and system",
                    "What the fleet runs on.",
                    [Query(f'count by (board, os) (fmd_build_info{{board!="",{OF_SITE}}})', "{{board}}, {{os}}")],
                    Kind.BARS,
                    width=8,
                ),
            ],
        ),
        Section(
            "Hub",
            [
                Panel(
                    "Silent and blind doors",
                    "How faults come and go together.",
                    [
                        Query(f"count(door:silent:bool{{{OF_SITE}}} == 1) or vector(0)", "silent"),
                        Query(f"count(fmd_blind{{{OF_SITE}}} == 1) or vector(0)", "blind"),
                    ],
                    width=8,
                ),
                Panel(
                    "Time to read a door",
                    "The slowest doors; above 4 s a door counts as silent.",
                    [Query(f'topk(5, scrape_duration_seconds{{job="fmd",{OF_SITE}}})', "{{door}}")],
                    unit="s",
                    width=8,
                ),
                Panel(
                    "Samples",
                    "Samples that Prometheus stores, and that VictoriaMetrics takes, each second.",
                    [
                        Query("rate(prometheus_tsdb_head_samples_appended_total[1m])", "stored"),
                        Query("rate(prometheus_remote_storage_samples_total[1m])", "sent on"),
                    ],
                    width=8,
                ),
            ],
        ),
    ],
)

DOOR = Content(
    uid="fmd-door",
    title="fmd: one door",
    description="Camera, work, people and board of one door.",
    variables=[
        ("site", "Site", 'label_values(up{job="fmd"}, site)', False),
        ("door", "Door", 'label_values(up{job="fmd",site="$site"}, door)', False),
    ],
    links=[("All doors", "/d/fmd-fleet")],
    sections=[
        Section(
            "Now",
            [
                Panel(
                    "Answers",
                    "Whether the hub can read the door.",
                    [Query(f"door:up:max{{{OF_DOOR}}}")],
                    Kind.STAT,
                    width=3,
                    height=4,
                    texts=STATES,
                ),
                Panel(
                    "Armed",
                    "Whether people without a mask lead to an alarm.",
                    [Query(f"fmd_armed{{{OF_DOOR}}}")],
                    Kind.STAT,
                    width=3,
                    height=4,
                    texts={"1": ("armed", OK), "0": ("disarmed", WARN)},
                ),
                Panel(
                    "Alarm",
                    "Whether the alarm is on.",
                    [Query(f"max(fmd_alarm{{{OF_DOOR}}})")],
                    Kind.STAT,
                    width=3,
                    height=4,
                    texts={"1": ("on", BAD), "0": ("off", OK)},
                ),
                Panel(
                    "Age of the last frame",
                    "Seconds since a frame passed all stages.",
                    [Query(f"fmd_frame_age_seconds{{{OF_DOOR}}}", "{{camera}}")],
                    Kind.STAT,
                    unit="s",
                    width=3,
                    height=4,
                    limits=((0, OK), (5, WARN), (10, BAD)),
                ),
                Panel(
                    "Uptime",
                    "Time since fmd started.",
                    [Query(f"fmd_uptime_seconds{{{OF_DOOR}}}")],
                    Kind.STAT,
                    unit="s",
                    width=3,
                    height=4,
                ),
                Panel(
                    "What runs",
                    "Version, models and board.",
                    [Query(f"fmd_build_info{{{OF_DOOR}}}")],
                    Kind.TABLE,
                    width=9,
                    height=4,
                    names=[
                        ("version", "Version"),
                        ("model", "Model"),
                        ("classifier_sha", "Classifier"),
                        ("settings_hash", "Settings"),
                        ("board", "Board"),
                    ],
                ),
            ],
        ),
        Section(
            "Camera",
            [
                Panel(
                    "State of the camera",
                    "Only in the state streaming is the door watched.",
                    [Query(f"fmd_camera_state{{{OF_DOOR}}} == 1", "{{camera}} {{state}}")],
                    Kind.TIMELINE,
                    width=12,
                    texts={"1": ("this state", OK)},
                ),
                Panel(
                    "Alerts and hints",
                    "Alerts of this door, and what fmd says about its camera.",
                    [
                        Query(f'ALERTS{{alertstate="firing",{OF_DOOR}}}', "{{alertname}}"),
                        Query(f"fmd_hint{{{OF_DOOR}}} == 1", "hint: {{kind}}"),
                        Query(f"fmd_drift{{{OF_DOOR}}} == 1", "changed: {{of}}"),
                    ],
                    Kind.TIMELINE,
                    width=12,
                    texts={"1": ("yes", WARN)},
                ),
                Panel(
                    "Frames per second",
                    "Processed frames, those with an open gate, and outdated ones that were dropped.",
                    [
                        Query(f"rate(fmd_frames_total{{{OF_DOOR}}}[$__rate_interval])", "processed {{camera}}"),
                        Query(f"rate(fmd_frames_awake_total{{{OF_DOOR}}}[$__rate_interval])", "gate open {{camera}}"),
                        Query(f"rate(fmd_frames_dropped_total{{{OF_DOOR}}}[$__rate_interval])", "dropped {{camera}}"),
                    ],
                ),
                Panel(
                    "Time from a picture to the end of its step",
                    "Half and 95% of the frames are faster.",
                    [
                        Query(
                            "histogram_quantile(0.5, sum by (camera, le) "
                            f"(rate(fmd_late_seconds_bucket{{{OF_DOOR}}}[$__rate_interval])))",
                            "half {{camera}}",
                        ),
                        Query(f"door:late_seconds:p95_5m{{{OF_DOOR}}}", "95% {{camera}}"),
                    ],
                    unit="s",
                ),
                Panel(
                    "Work by stage",
                    "Seconds of work in each second: 1 is a whole processor core.",
                    [
                        Query(
                            f"sum by (stage) (rate(fmd_stage_seconds_total{{{OF_DOOR}}}[$__rate_interval]))",
                            "{{stage}}",
                        )
                    ],
                    unit="s",
                    stacked=True,
                ),
                Panel(
                    "Blind times",
                    "How often the camera became blind within an hour, and whether the board is too slow.",
                    [
                        Query(f"increase(fmd_blind_times_total{{{OF_DOOR}}}[1h])", "blind {{camera}}"),
                        Query(f"fmd_too_slow{{{OF_DOOR}}}", "too slow {{camera}}"),
                    ],
                ),
            ],
        ),
        Section(
            "People",
            [
                Panel(
                    "Passages per hour",
                    "People who passed, by outcome.",
                    [Query(f"sum by (outcome) (door:passages:increase1h{{{OF_DOOR}}})", "{{outcome}}")],
                    stacked=True,
                ),
                Panel(
                    "Decisions and alarms per hour",
                    "Decisions by outcome, and how often the alarm began.",
                    [
                        Query(f"sum by (outcome) (increase(fmd_decisions_total{{{OF_DOOR}}}[1h]))", "{{outcome}}"),
                        Query(f"sum(increase(fmd_alarms_total{{{OF_DOOR}}}[1h]))", "alarms"),
                    ],
                ),
            ],
        ),
        Section(
            "Board",
            [
                Panel(
                    "Temperature",
                    "From 80 degrees on a Raspberry Pi slows itself down.",
                    [Query(f"fmd_temperature_celsius{{{OF_DOOR}}}", "processor")],
                    unit="celsius",
                    width=8,
                ),
                Panel(
                    "Voltage and speed",
                    "Limits that the firmware imposes; names with occurred last until the board is switched off.",
                    [Query(f"fmd_throttled{{{OF_DOOR}}}", "{{what}}")],
                    Kind.TIMELINE,
                    width=8,
                    texts={"0": ("no", OK), "1": ("yes", BAD)},
                ),
                Panel(
                    "Memory and disk",
                    "Memory of fmd, and room on the disk with the record.",
                    [
                        Query(f"fmd_resident_memory_bytes{{{OF_DOOR}}}", "memory of fmd"),
                        Query(f"fmd_disk_free_bytes{{{OF_DOOR}}}", "free on the disk"),
                        Query(f"fmd_disk_bytes{{{OF_DOOR}}}", "size of the disk"),
                    ],
                    unit="bytes",
                    width=8,
                ),
                Panel(
                    "Messages",
                    "Messages that wait, and that were lost within an hour, by receiver.",
                    [
                        Query(f"fmd_messages_waiting{{{OF_DOOR}}}", "waiting: {{receiver}}"),
                        Query(f"increase(fmd_messages_dropped_total{{{OF_DOOR}}}[1h])", "lost: {{receiver}}"),
                        Query(f"fmd_messages_failing{{{OF_DOOR}}}", "failing: {{receiver}}"),
                        Query(f"increase(fmd_messages_failed_total{{{OF_DOOR}}}[1h])", "failed tries: {{receiver}}"),
                    ],
                    width=8,
                ),
                Panel(
                    "Record",
                    "Whether the record cannot be written, and rows that it dropped within an hour.",
                    [
                        Query(f"fmd_record_failing{{{OF_DOOR}}}", "failing"),
                        Query(f"increase(fmd_record_lost_rows_total{{{OF_DOOR}}}[1h])", "rows lost"),
                    ],
                    width=8,
                ),
                Panel(
                    "Clock",
                    "How far the clock of the door is from the clock of the hub.",
                    [Query(f"fmd_time_seconds{{{OF_DOOR}}} - timestamp(fmd_time_seconds{{{OF_DOOR}}})", "ahead")],
                    unit="s",
                    width=8,
                ),
            ],
        ),
    ],
)

DASHBOARDS = {"fleet.json": FLEET, "door.json": DOOR}
"""File name -> dashboard."""
