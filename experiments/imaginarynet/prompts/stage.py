"""The stage `prompts` of a round: queued candidates for what each class still lacks.

Round 1 makes every class's number; a later one what the filter left missing (rounds.py). Where nothing is
missing no model is loaded and the stage is empty. A killed stage goes on behind the last finished piece of a
class: a prompt depends on those before it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.imaginarynet.classes import classes_of, label_of
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.prompts.make import Prompt, TextModel, make_prompts
from experiments.imaginarynet.rounds import VERBS, names_of, plan_round, round_of, seen_of
from experiments.imaginarynet.store.manifest import (
    CANDIDATES,
    Candidate,
    append_rows,
    candidate_id,
    read_rows,
    read_shards,
    write_rows,
)
from experiments.imaginarynet.store.seeds import candidate_seed
from suite.stage import Context

PIECE = 256  # prompts of a class between two writes


def run(ctx: Context) -> None:
    """Write `candidates.jsonl`: queued rows, by class, then by number; failed ones where no text was new."""
    config: ImaginaryNetConfig = ctx.config
    round = round_of(ctx.stage.name)
    names = classes_of(config)
    earlier = rows_before(ctx, round)
    plan = plan_round(config, seen_of(earlier, len(names), threshold=config.replace.threshold))
    log = ctx.work / CANDIDATES
    done = read_rows(log) if log.exists() else []
    model = _load(ctx) if config.prompts.source == "lm" and len(done) < sum(map(len, plan)) else None
    with ctx.progress(sum(map(len, plan)), done=len(done)) as bar:
        for class_id, numbers in enumerate(plan):
            past = [row for row in (*earlier, *done) if row.class_id == class_id]
            for rows in class_rows(
                model, config, names[class_id], class_id=class_id, numbers=numbers, past=past, seed=ctx.seed,
                round=round,
            ):  # fmt: skip
                append_rows(log, rows)
                bar.advance(len(rows))
                ctx.check_stop()
    _finish(ctx, read_rows(log) if log.exists() else [])


def class_rows(
    model: TextModel | None,
    config: ImaginaryNetConfig,
    class_name: str,
    *,
    class_id: int,
    numbers: range,
    past: Sequence[Candidate],
    seed: int,
    round: int,
) -> Iterator[list[Candidate]]:
    """The rows of a class that are missing, in pieces. numbers: those of this round's candidates.

    past: all rows of the class that there are, of earlier rounds and of this one.
    """
    each = config.images.samples_per_prompt
    first = max([numbers.start, *(row.number + 1 for row in past)]) // each
    taken = {row.prompt for row in past if row.status != "failed" or row.sha256}
    while first * each < numbers.stop:
        count = min(PIECE, numbers.stop // each - first)
        prompts = make_prompts(
            model, config.prompts, class_name, count=count, seed=seed, first_number=first, taken=taken
        )
        taken |= {prompt.text for prompt in prompts if not prompt.reason}
        yield [
            _row(prompt, index, model, config, class_name, class_id=class_id, seed=seed, round=round)
            for prompt in prompts
            for index in range(each)
        ]
        first += count


def _row(
    prompt: Prompt,
    index: int,
    model: TextModel | None,
    config: ImaginaryNetConfig,
    class_name: str,
    *,
    class_id: int,
    seed: int,
    round: int,
) -> Candidate:
    """The candidate of one picture, number `index` of its prompt."""
    each, backend = config.images.samples_per_prompt, config.images.backend
    number = prompt.number * each + index
    return Candidate(
        candidate_id=candidate_id(class_id, number), class_id=class_id, class_name=class_name,
        label=label_of(class_name), number=number, round=round, prompt=prompt.text,
        prompt_source="bare" if model is None else model.source,
        backend=backend, models={} if model is None else {"prompts": model.digest},
        seed=candidate_seed(seed, backend, class_name, number=number, samples_per_prompt=each),
        status="failed" if prompt.reason else "queued", reason=prompt.reason,
    )  # fmt: skip


def rows_before(ctx: Context, round: int) -> list[Candidate]:
    """The scored rows of all earlier rounds, from the stage's inputs."""
    names = names_of(VERBS[2], ctx.config, before=round)
    return [row for name in names for row in read_shards(ctx.inputs[name])]


def _load(ctx: Context) -> TextModel:
    import torch

    from experiments.imaginarynet.prompts.language_model import LanguageModel

    torch.set_num_threads(ctx.config.compute.threads)
    return LanguageModel.load(ctx.config.prompts.model, ctx.config.prompts, device=ctx.device)


def _finish(ctx: Context, rows: Sequence[Candidate]) -> None:
    write_rows(ctx.out / CANDIDATES, rows)
    failed = sorted({row.class_name for row in rows if row.status == "failed"})
    ctx.count("prompts", len(rows))
    if failed:
        number = sum(row.status == "failed" for row in rows)
        ctx.count("failed", number)
        names = ", ".join(failed)
        ctx.warn(f"{number} candidates of {names} have no prompt; raise prompts.max_tries or prompts.top_k")
