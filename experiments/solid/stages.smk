# SOLID: meshes and rooms -> an annotated Zarr store -> a pre-trained detector -> fine-tuned ones, AP -> a report page.


rule solid:
    input:
        stamp("report"),


rule fetch_meshes:
    output:
        touch(stamp("fetch-meshes")),
    params:
        settings("fetch-meshes"),
    shell:
        launch("fetch-meshes")


rule index:
    input:
        stamp("fetch-meshes"),
    output:
        touch(stamp("index")),
    params:
        settings("index"),
    shell:
        launch("index", meshes="fetch-meshes")


rule clean:
    input:
        stamp("index"),
    output:
        touch(stamp("clean")),
    params:
        settings("clean"),
    shell:
        launch("clean", meshes="fetch-meshes", index="index")


rule rooms:
    output:
        touch(stamp("rooms")),
    params:
        settings("rooms"),
    shell:
        launch("rooms")


rule create_store:
    input:
        stamp("clean"),
    output:
        touch(stamp("create-store")),
    params:
        settings("create-store"),
    shell:
        launch("create-store", clean="clean")


rule targets:
    input:
        stamp("rooms"),
        stamp("create-store"),
    output:
        touch(stamp("targets")),
    threads: workflow.cores
    params:
        settings("targets"),
    shell:
        launch("targets", clean="clean", rooms="rooms", store="create-store")


rule queries:
    input:
        stamp("create-store"),
    output:
        touch(stamp("queries")),
    threads: workflow.cores
    params:
        settings("queries"),
    shell:
        launch("queries", clean="clean", store="create-store")


rule check:
    input:
        stamp("targets"),
        stamp("queries"),
    output:
        touch(stamp("check")),
    params:
        settings("check"),
    shell:
        launch("check", clean="clean", rooms="rooms", store="create-store", targets="targets", queries="queries")


rule pretrain:
    input:
        stamp("check"),
    output:
        touch(stamp("pretrain")),
    threads: workflow.cores
    params:
        settings("pretrain"),
    shell:
        launch("pretrain", clean="clean", store="create-store", targets="targets", queries="queries", check="check")


rule instances:
    input:
        stamp("pretrain"),
    output:
        touch(stamp("instances")),
    params:
        settings("instances"),
    shell:
        launch("instances", clean="clean", store="create-store", targets="targets", queries="queries", check="check", pretrain="pretrain")


rule finetune:
    input:
        stamp("pretrain"),
    output:
        touch(stamp("finetune")),
    threads: workflow.cores
    params:
        settings("finetune"),
    shell:
        launch("finetune", pretrain="pretrain")


rule evaluate:
    input:
        stamp("finetune"),
    output:
        touch(stamp("evaluate")),
    params:
        settings("evaluate"),
    shell:
        launch("evaluate", pretrain="pretrain", finetune="finetune")


rule report:
    input:
        stamp("evaluate"),
        stamp("instances"),
    output:
        touch(stamp("report")),
    params:
        settings("report"),
    shell:
        launch("report", clean="clean", rooms="rooms", store="create-store", targets="targets", queries="queries", check="check", pretrain="pretrain", instances="instances", finetune="finetune", evaluate="evaluate")
