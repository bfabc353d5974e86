"""Audits: what the suite claims about itself, proved again on this machine by a command.

`make audit-inputs`, `audit-kill`, `audit-determinism`, `audit-containers`. Each is a module here of the same
name with `main(words) -> exit code`, and leaves RUNS_DIR/audits/<name>/result.json (suite/audits/result.py).
"""

AUDITS = ("inputs", "kill", "determinism", "containers")
