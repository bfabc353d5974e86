"""The toy's stages, in order."""

from suite.stage import Stage


def num_shards(config, inputs=None) -> int:
    return -(-config.numbers.count // config.shard_size)


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            system="toy", name="numbers", summary="draw numbers", toolchain="suite", version=1,
            run="experiments.toy.work:draw", config=("numbers",), decides=("numpy",),
        ),
        Stage(
            system="toy", name="make-squares", summary="square them", toolchain="suite", version=1,
            run="experiments.toy.work:square", inputs=("numbers",), config=("shard_size",),
            num_shards=num_shards, disk_bytes=lambda config: config.numbers.count * 10,
        ),
        Stage(
            system="toy", name="report", summary="add them up", toolchain="suite", version=1,
            run="experiments.toy.work:add", inputs=("squares",), uses_gpu=False,
        ),
    )
}  # fmt: skip
