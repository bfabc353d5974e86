# The comparison: each arm's data, then the cells. Which stages there are, and what each reads, is said by stages.py for
# the settings at hand; the runs of other systems that they read were made before (`make compare`).


rule compare:
    input:
        [stamp(name) for name, stage in STAGES.items() if not stage.optional],


for _name, _stage in STAGES.items():

    rule:
        name:
            "stage_" + _name.replace("-", "_")
        input:
            [stamp(other) for other in _stage.inputs],
        output:
            touch(stamp(_name)),
        threads: workflow.cores if _stage.is_wide else 1
        params:
            settings(_name),
        # As a value of another keyword: Snakemake evaluates a shell line once more when the loop is over.
        resources:
            command=launch(_name, **{other: other for other in _stage.inputs}),
        shell:
            "{resources.command}"
