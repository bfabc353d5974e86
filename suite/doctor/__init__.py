"""`make doctor`: what this machine has, what is missing for what you want to run, and how to mend it.

    python -m suite.doctor                 the table, for every system that exists
    python -m suite.doctor --for solid     judged by what one system needs at smoke scale
    python -m suite.doctor --json          the same for programs

Takes seconds, changes nothing (the write test removes its file). Runs on any Python from 3.9 on with the
standard library alone; psutil and PyYAML, where present, answer two more questions. One check is one small
function: it takes a `Context`, returns `Result`s and never raises. To add a check, write it and put it into
`CHECKS` of __main__.py.
"""
