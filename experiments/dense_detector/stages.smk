# Dense detector: COCO annotations -> SQLite -> a detector per variant -> AP -> a report page. `compare` is started by
# name alone: python -m suite reproduce dense-detector --until compare-table


rule dense_detector:
    input:
        stamp("report"),


rule import_annotations:
    output:
        touch(stamp("import")),
    params:
        settings("import"),
    shell:
        launch("import")


rule verify:
    input:
        stamp("import"),
    output:
        touch(stamp("verify")),
    params:
        settings("verify"),
    shell:
        launch("verify", **{"import": "import"})


rule train:
    input:
        stamp("verify"),
    output:
        touch(stamp("train")),
    threads: workflow.cores
    params:
        settings("train"),
    shell:
        launch("train", verify="verify", **{"import": "import"})


rule evaluate:
    input:
        stamp("train"),
    output:
        touch(stamp("eval")),
    threads: workflow.cores
    params:
        settings("eval"),
    shell:
        launch("eval", verify="verify", train="train", **{"import": "import"})


rule compare:
    input:
        stamp("verify"),
    output:
        touch(stamp("compare")),
    threads: workflow.cores
    params:
        settings("compare"),
    shell:
        launch("compare", verify="verify", **{"import": "import"})


rule compare_table:
    input:
        stamp("compare"),
    output:
        touch(stamp("compare-table")),
    params:
        settings("compare-table"),
    shell:
        launch("compare-table", verify="verify", compare="compare", **{"import": "import"})


rule report:
    input:
        stamp("eval"),
    output:
        touch(stamp("report")),
    params:
        settings("report"),
    shell:
        launch("report", verify="verify", train="train", eval="eval", **{"import": "import"})
