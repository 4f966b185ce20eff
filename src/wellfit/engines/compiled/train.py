"""The training loop of one member, compiled whole: batches, passes, steps, curves, early stopping, divergence."""

from __future__ import annotations

import numpy as np

from wellfit import rng
from wellfit.engines.compiled.batches import columns_of, disturb, load
from wellfit.engines.compiled.curves import finite, record
from wellfit.engines.compiled.draws import shuffle
from wellfit.engines.compiled.jit import entry_kernel, inlined
from wellfit.engines.compiled.losses import loss_gradient, weigh
from wellfit.engines.compiled.lowlevel import bare, flush_subnormals, piece, restore_subnormals
from wellfit.engines.compiled.passes import backward, forward
from wellfit.engines.compiled.plan import BATCH, CHECKPOINT, DIVERGED, EPOCH, FINISHED, RUNNING, STATUS, STEP
from wellfit.engines.compiled.updates import set_strengths, update

_SHUFFLE = rng.SHUFFLE


@inlined
def _load_batch(plan, layout, rows, work, order, start, count, m):
    """Copy a batch's inputs, targets and weights as columns."""
    last = layout.widths.size - 1
    load(rows.x, layout.widths[0], order, start, count, m, work.x)
    load(rows.y, layout.widths[last], order, start, count, m, work.y)
    if work.weights.size > 0:
        load(layout.weights, 1, order, start, count, m, work.weights)


@inlined
def _one_step(plan, layout, rows, progress, work):
    """One batch: load, disturb, forward, backward, update."""
    counts, p = progress.counts, progress.parameters
    n, epoch, batch = rows.train.size, counts[EPOCH], counts[BATCH]
    last = layout.widths.size - 2
    d, k = layout.widths[0], layout.widths[last + 1]
    start = batch * plan.batch
    count = n - start if batch == plan.batches - 1 else plan.batch
    m = columns_of(count)
    if plan.scheduled:
        set_strengths(plan, layout, work, counts[STEP])
    if not plan.full and batch == 0:
        shuffle(rows.train, work.order, np.uint32(plan.key0), np.uint32(plan.key1), _SHUFFLE, epoch)
    if work.loaded[0] == 0:
        order = rows.train if plan.full else work.order
        _load_batch(plan, layout, rows, work, order, start, count, m)
        # One batch of all rows stays loaded, unless something changes it.
        work.loaded[0] = plan.full and not plan.disturbed
    if plan.disturbed:
        disturb(plan, layout, work, k, d, m, count, epoch, batch)
    forward(plan, layout, p, work.x, work, m, count, np.int64(1), epoch, batch)
    out = piece(work.z, layout.at[last], k * m)
    loss_gradient(plan.loss, plan.loss_parameter, out, work.y, k, m, count, work.rows)
    if work.weights.size > 0:
        weigh(out, k, m, work.weights)
    backward(plan, layout, p, work, m, count)
    update(plan, layout, p, progress.moments, progress.average, work, counts[STEP])
    counts[STEP] += 1


@entry_kernel
def train(plan, layout, rows, progress, work, until, budget):
    """Train to the absolute epoch ``until`` or for ``budget`` steps; return the steps made."""
    # The caller keeps the arrays alive.
    layout, rows, progress, work = bare(layout), bare(rows), bare(progress), bare(work)
    before = flush_subnormals()
    counts = progress.counts
    made = 0
    set_strengths(plan, layout, work, counts[STEP])
    while True:
        due = counts[STATUS] == RUNNING and counts[BATCH] == 0
        if due and counts[EPOCH] == layout.checkpoints[counts[CHECKPOINT]]:
            record(plan, layout, rows, progress, work)
        if counts[STATUS] == RUNNING and counts[EPOCH] == plan.epochs:
            counts[STATUS] = FINISHED
        if made >= budget or counts[EPOCH] >= until or counts[STATUS] != RUNNING:
            break
        _one_step(plan, layout, rows, progress, work)
        made += 1
        counts[BATCH] += 1
        if counts[BATCH] == plan.batches:
            counts[BATCH] = 0
            counts[EPOCH] += 1
            if not finite(progress.parameters):
                counts[STATUS] = DIVERGED
    restore_subnormals(before)
    return made
