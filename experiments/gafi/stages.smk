# GaFi: data set -> a classifier and GANs of real pictures -> the search, step after step -> one classifier from all
# GANs -> what it is worth -> a report page.

FOUND = {"import": "import", "train-classifier": "train-classifier", "train-gan": "train-gan"}
SEARCH = {"ckpt": "ckpt", "stddev": "stddev", "threshold": "threshold", "best": "best"}
LAST = {"run-multigan": "run-multigan", "controls": "controls"}


rule gafi:
    input:
        stamp("report"),


rule import_data:
    output:
        touch(stamp("import")),
    params:
        settings("import"),
    shell:
        launch("import")


rule train_classifier:
    input:
        stamp("import"),
    output:
        touch(stamp("train-classifier")),
    params:
        settings("train-classifier"),
    shell:
        launch("train-classifier", **{"import": "import"})


rule train_gan:
    input:
        stamp("import"),
    output:
        touch(stamp("train-gan")),
    threads: workflow.cores
    params:
        settings("train-gan"),
    shell:
        launch("train-gan", **{"import": "import"})


rule ckpt:
    input:
        stamp("train-classifier"),
        stamp("train-gan"),
    output:
        touch(stamp("ckpt")),
    threads: workflow.cores
    params:
        settings("ckpt"),
    shell:
        launch("ckpt", **FOUND)


rule stddev:
    input:
        stamp("ckpt"),
    output:
        touch(stamp("stddev")),
    threads: workflow.cores
    params:
        settings("stddev"),
    shell:
        launch("stddev", ckpt="ckpt", **FOUND)


rule threshold:
    input:
        stamp("stddev"),
    output:
        touch(stamp("threshold")),
    threads: workflow.cores
    params:
        settings("threshold"),
    shell:
        launch("threshold", ckpt="ckpt", stddev="stddev", **FOUND)


rule best:
    input:
        stamp("threshold"),
    output:
        touch(stamp("best")),
    threads: workflow.cores
    params:
        settings("best"),
    shell:
        launch("best", ckpt="ckpt", stddev="stddev", threshold="threshold", **FOUND)


rule run_multigan:
    input:
        stamp("best"),
    output:
        touch(stamp("run-multigan")),
    params:
        settings("run-multigan"),
    shell:
        launch("run-multigan", best="best", **FOUND)


rule controls:
    input:
        stamp("best"),
    output:
        touch(stamp("controls")),
    threads: workflow.cores
    params:
        settings("controls"),
    shell:
        launch("controls", best="best", **FOUND)


rule evaluate:
    input:
        stamp("run-multigan"),
        stamp("controls"),
    output:
        touch(stamp("evaluate")),
    threads: workflow.cores
    params:
        settings("evaluate"),
    shell:
        launch("evaluate", **FOUND, **SEARCH, **LAST)


rule report:
    input:
        stamp("evaluate"),
    output:
        touch(stamp("report")),
    params:
        settings("report"),
    shell:
        launch("report", evaluate="evaluate", **FOUND, **SEARCH, **LAST)
