"""How conclusions go out: the page, the HTTP answers, metrics, alerts.

Everything is drawn from a snapshot of committed state; nothing is concluded here. Nothing from
collector or pipeline comes in.
"""
