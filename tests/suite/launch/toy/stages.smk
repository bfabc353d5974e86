# The toy system: numbers -> squares (wide) -> report.


rule toy:
    input:
        stamp("report"),


rule numbers:
    output:
        touch(stamp("numbers")),
    params:
        settings("numbers"),
    shell:
        launch("numbers")


rule squares:
    input:
        stamp("numbers"),
    output:
        touch(stamp("make-squares")),
    threads: workflow.cores
    params:
        settings("make-squares"),
    shell:
        launch("make-squares", numbers="numbers")


rule report:
    input:
        stamp("make-squares"),
    output:
        touch(stamp("report")),
    params:
        settings("report"),
    shell:
        launch("report", squares="make-squares")
