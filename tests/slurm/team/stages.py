"""One stage that several processes of a torchrun do together."""

from suite.stage import Stage

STAGES = {
    "together": Stage(
        system="team", name="together", summary="count to `steps` together", toolchain="suite", version=1,
        run="experiments.team.work:count", config=("steps",), ranks=True,
    )
}  # fmt: skip
