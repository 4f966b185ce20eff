"""The command augment: a set of images with changed copies of each, written out, and a contact sheet."""

from __future__ import annotations

from typing import Any

import click

from wellfit.cli import options as given
from wellfit.cli.language import option
from wellfit.cli.program import Command, Problem, Stopped
from wellfit.cli.screen import answer, tell
from wellfit.messages import say

_OPTIONS = (
    option("--out", metavar="DIR", help=say("augment.opt_out")),
    option("--augment", metavar="TEXT", help=say("augment.opt_augment")),
    option("--copies", metavar="N", type=given.Whole(), default=4, help=say("augment.opt_copies")),
    option("--format", metavar="png|npz", default="png", help=say("augment.opt_format")),
    option("--image-size", metavar="HxW", help=say("augment.opt_image_size")),
    option("--skip-corrupt", is_flag=True, help=say("augment.opt_skip_corrupt")),
    option("--seed", metavar="N", type=given.Whole(0), default=0, help=say("augment.opt_seed")),
)


@click.command(cls=Command, help=say("augment.help"), short_help=say("augment.short"))
@click.argument("images")
@given.options(_OPTIONS)
def augment(images: str, **asked: Any) -> None:
    """Write the enlarged set, and say what was written."""
    from wellfit.cli.progress import Watch
    from wellfit.job.augmented_files import left
    from wellfit.job.augmenting import augment as written

    out = asked.pop("out")
    if not out:
        raise Problem("cli.missing", what="--out DIR", command="wellfit augment")
    # What only folders of images know is handed on where it was asked for.
    reading = {name: asked.pop(name) for name in ("image_size", "skip_corrupt")}
    with Watch("augment.writing") as watch:
        try:
            made = written(images, out, **asked, **{n: v for n, v in reading.items() if v}, progress=watch.progress)
        except KeyboardInterrupt as error:
            raise Stopped(left(out)) from error
    for finding in made.findings:
        tell(finding.text)
    for sentence in made.sentences():
        answer(sentence)
