# ImaginaryNet: class names -> prompts -> pictures -> probabilities of every class, once more for what was rejected; then
# the filter, the exports, one report. Which stages there are, and what each reads, is said by stages.py for the settings
# at hand.


rule imaginarynet:
    input:
        stamp("report"),


# Snakemake evaluates a shell line once more when the job starts, when the loop is over; the values of a rule's other
# keywords stay. Resources are no reason to start a job again, which another number of workers would be in `params`.
for _name, _stage in STAGES.items():

    rule:
        name:
            _name.replace("-", "_")
        input:
            [stamp(other) for other in _stage.inputs],
        output:
            touch(stamp(_name)),
        threads: workflow.cores if _stage.is_wide else 1
        params:
            settings(_name),
        resources:
            command=launch(_name, **{other: other for other in _stage.inputs}),
        shell:
            "{resources.command}"
