"""Two dashboards of Grafana: all doors, and one door.

content.py       what each dashboard shows, as tables of panels
panels.py        panel -> panel of grafana-foundation-sdk
__main__.py      writes dashboards/*.json, which Grafana reads through provisioning/
"""
