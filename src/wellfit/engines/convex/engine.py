"""The convex engine: linear members with smooth or lasso penalties, solved and not trained."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from wellfit.cocktail import L1, L2, Cocktail, ElasticNet
from wellfit.cocktail.base import Strong
from wellfit.engines.base import (
    CURVES,
    Member,
    State,
    Status,
    history,
    misfit,
    refuse_misfits,
    seen_rows,
    training_weights,
)
from wellfit.engines.blas import one_blas_thread
from wellfit.engines.convex.normal import Rows
from wellfit.engines.convex.prepared import Part, Prepared, Shown
from wellfit.engines.convex.solve import Problem, Solution, Solutions
from wellfit.messages import say
from wellfit.nets.network import link
from wellfit.nets.training import checkpoints
from wellfit.records import Array, FoldData, History, TrainingData

PENALTIES = (L1, L2, ElasticNet)
MOST_LASSO = 20_000  # weights of several classes under a lasso penalty
MOMENT = 3e8  # multiplications: a tenth of a second, about


class ConvexEngine:
    """Solves linear members exactly: mean squared error or cross-entropy with L1, L2, both or neither.

    There are no steps: a member is done at its first epoch, its curves are the solution's at both ends, and learning
    rate, batch size and seed make no difference. Members of one fold are wanted together, the strongest lasso first,
    because each solution is a good start for the next; results do not depend on the start by more than rounding
    (weights to 1e-8), and on the number of threads not at all. Where no solution exists (classes that a plane
    separates, and no penalty) the status is ``unbounded``, and the weights are those at l2 = 1e-6.
    """

    name = "convex"  # known to select.fitting too
    version = "1"

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[FoldData, dict[object, Prepared]] = WeakKeyDictionary()
        self._able: WeakKeyDictionary[TrainingData, set[tuple]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        """Travel without what is kept of the data: a worker elsewhere makes its own."""
        return ConvexEngine, ()

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason why this engine cannot solve the member."""
        able = self._able.setdefault(data, set())
        # A reason lies with the cocktail or with the fold, but for one: a lasso penalty for many weights of classes.
        lasso = data.task == "multiclass" and any(isinstance(p, L1 | ElasticNet) for p in member.cocktail.ingredients)
        what = member.network, member.cocktail, member.training
        where = member.network, member.training, member.fold, lasso
        if what in able and where in able:
            return None
        reason = self._unable(member, data)
        if reason is None:
            able |= {what, where}
        return reason

    def _unable(self, member: Member, data: TrainingData) -> str | None:
        if not member.network.linear:
            return say("convex.linear_only", network=member.network)
        for part in member.cocktail.ingredients:
            if not isinstance(part, PENALTIES):
                return say("convex.penalties_only", ingredient=part.name)
            if isinstance(part, Strong) and part.schedule != "constant":
                return say("convex.no_schedule", ingredient=part.name)
        reason = misfit(member, data)
        if reason:
            return reason
        if member.training.loss_and_parameter(data.task)[0] not in ("squared", "cross_entropy"):
            return say("convex.smooth_losses", loss=member.training.loss)
        if data.task == "regression" and data.outputs > 1:
            return say("convex.one_target")
        width = data.folds[member.fold].x.shape[1]
        if data.task == "multiclass" and penalty(member.cocktail)[0] and width * data.outputs > MOST_LASSO:
            return say("convex.too_many", weights=width * data.outputs, most=MOST_LASSO)
        return None

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before solving. Raises `UnsupportedError` for a misfit, before any work."""
        refuse_misfits(self, members, data)
        begun: dict[tuple, State] = {}  # nobody modifies a state, so members may share one
        found = []
        for member in members:
            kind = id(member.network), id(member.training), member.fold
            if kind not in begun:
                begun[kind] = self._init(member, data)
            found.append(begun[kind])
        return found

    def _init(self, member: Member, data: TrainingData) -> State:
        size = member.network.size(data.folds[member.fold].x.shape[1], data.outputs)
        curves = np.full((len(checkpoints(member.training.epochs)), len(CURVES)), np.nan)
        none = np.empty(0)
        return State(np.zeros(size), np.zeros((2, 0)), none, curves)

    def groups(self, members: Sequence[Member], data: TrainingData) -> list[list[int]]:  # noqa: ARG002 (the contract)
        """Return the members of each problem together, from the strongest penalty to the weakest."""
        found: dict[object, list[int]] = {}
        for i, member in enumerate(members):
            found.setdefault(_problem_of(member), []).append(i)
        return [sorted(group, key=lambda i: _strongest_first(penalty(members[i].cocktail))) for group in found.values()]

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at the absolute epochs ``until``: solved, where that is 1 or more."""
        found = list(states)
        waiting = [i for i, s in enumerate(states) if until[i] > s.epoch and s.status == "running"]
        problems: dict[object, list[int]] = {}
        for i in waiting:
            problems.setdefault(_problem_of(members[i]), []).append(i)
        with one_blas_thread():
            for problem, places in problems.items():
                before = (i for i in range(places[0] - 1, -1, -1) if states[i].epoch)
                last = next((i for i in before if _problem_of(members[i]) == problem), None)
                self._solve(places, last, members, found, data)
        return found

    def _solve(
        self,
        places: Sequence[int],
        last: int | None,
        members: Sequence[Member],
        states: list[State],
        data: TrainingData,
    ) -> None:
        """Solve members of one problem, in their order, from the solution of member ``last``; ``states`` change."""
        kept, start = self._prepared(members[places[0]], data), None
        asked = [penalty(members[i].cocktail) for i in places]
        known: dict[tuple[float, float], State] = {}  # another seed, another rate: the same question
        if last is not None:
            start = _solution(states[last], data.outputs)
            known[penalty(members[last].cocktail)] = states[last]
        strengths = [pair for pair in dict.fromkeys(asked) if pair not in known]
        solutions = kept.problem.along(strengths, start)
        figures, parameters = kept.figures(solutions, strengths), solutions.parameters
        which = {pair: p for p, pair in enumerate(strengths)}
        for i, pair in zip(places, asked, strict=True):
            state = states[i]
            curves = state.curves.copy()
            if pair in known:
                curves[:2] = known[pair].curves[:2]
                states[i] = replace(known[pair], curves=curves)
                continue
            p = which[pair]
            curves[:2] = figures[p]
            status: Status = "finished" if solutions.exists[p] else "unbounded"
            rest = state.moments, state.best_parameters, curves, state.average
            states[i] = State(parameters[p].copy(), *rest, epoch=1, step=1, status=status)

    def histories(self, members: Sequence[Member], states: Sequence[State], data: TrainingData) -> list[History]:
        """Return the records of members: those of one problem are read side by side."""
        found: dict[int, History] = {}
        problems: dict[object, list[int]] = {}
        for i, (member, state) in enumerate(zip(members, states, strict=True)):
            if state.epoch:
                problems.setdefault((member.training, _problem_of(member)), []).append(i)
            else:
                found[i] = history(member, state, data)
        for places in problems.values():
            first, mine = members[places[0]], [states[i] for i in places]
            found |= zip(places, self._histories(first, mine, data), strict=True)
        return [found[i] for i in range(len(members))]

    def _histories(self, member: Member, states: Sequence[State], data: TrainingData) -> list[History]:
        """Return the records of solved states of one problem; ``member`` is any of its members."""
        parameters = np.array([state.parameters for state in states])
        curves = np.array([state.curves[:2].T for state in states])
        shown = self._shown(member, parameters, curves, data)
        predictions, seen = (self.predictions(member, parameters, data, seen=own) for own in (False, True))
        norms, zeros, used = shown.norms.tolist(), shown.zeros.tolist(), shown.used.tolist()
        ends = checkpoints(member.training.epochs)[:2]
        return [
            History(
                status="finished" if state.status == "running" else state.status,
                epochs=state.epoch,
                best_epoch=state.epoch,
                steps=state.step,
                checkpoints=ends,
                curves=dict(zip(CURVES, shown.curves[p], strict=True)),
                predictions=predictions[p],
                weight_norms=(norms[p],),
                zero_weights=zeros[p],
                weights=shown.weights,
                inputs_used=used[p],
                seen=seen[p],
            )
            for p, state in enumerate(states)
        ]

    def _shown(self, member: Member, parameters: Array, curves: Array, data: TrainingData) -> Shown:
        """Return what the solutions ``parameters`` (P, T) show, with ``curves`` (P, len(CURVES), 2) by the engine."""
        flat, curves = parameters[:, : -data.outputs], curves.copy()
        weights = flat.reshape(len(flat), data.outputs, -1)
        curves[:, :4] *= data.folds[member.fold].loss_unit
        return Shown(
            parameters=parameters,
            curves=curves,
            norms=np.sqrt((flat * flat).sum(axis=1)),
            zeros=flat.shape[1] - np.count_nonzero(flat, axis=1),
            weights=flat.shape[1],
            used=np.count_nonzero(weights.any(axis=1), axis=1),
        )

    def predictions(self, member: Member, parameters: Array, data: TrainingData, *, seen: bool = False) -> Array:
        """Return what solutions ``parameters`` (P, T) on a member's fold say of its score rows, (P, n, k).

        With ``seen`` of those training rows whose predictions a history keeps.
        """
        fold, k, kept = data.folds[member.fold], data.outputs, self._prepared(member, data)
        weights, biases = parameters[:, :-k].reshape(len(parameters), k, -1), parameters[:, -k:]
        if data.task == "regression":
            weights, biases = weights * fold.target_scale, biases * fold.target_scale + fold.target_mean
        return link(data.task, kept.outputs(weights, biases, seen=seen))

    def at_once(self, members: Sequence[Member], points: int, data: TrainingData) -> bool:
        """Whether a path of so many ``points`` from each of the members is solved by `shown` in a moment.

        Least squares by the normal equations are, of few rows and columns: to plan a population and hand it to an
        executor takes longer than to solve it.
        """
        work = 0
        for member in members:
            fold = data.folds[member.fold]
            rows, width = fold.rows, fold.x.shape[1]
            # The products of columns; then for each point a linear system, and what the model says.
            work += width**2 * len(rows.train) + points * (width**3 + width * (len(rows.stop) + len(rows.score)))
        if work > MOMENT:
            return False
        return all(self.problem(member, data).by_normal(1.0, 0.0) for member in members)

    def along(self, member: Member, penalties: Sequence[tuple[float, float]], data: TrainingData) -> Solutions:
        """Return the solutions of P members like this one but for their (l1, l2), each begun at a stronger one's."""
        order = sorted(range(len(penalties)), key=lambda p: _strongest_first(penalties[p]))
        with one_blas_thread():
            found = self.problem(member, data).along([penalties[p] for p in order])
        back = np.argsort(order)
        return Solutions(found.weights[back], found.biases[back], found.exists[back])

    def shown(self, member: Member, penalties: Sequence[tuple[float, float]], data: TrainingData) -> Shown:
        """Return what P members like this one but for their (l1, l2) show, without a state and a history of each."""
        solutions = self.along(member, penalties, data)
        with one_blas_thread():
            figures = self._prepared(member, data).figures(solutions, penalties)
            return self._shown(member, solutions.parameters, np.repeat(figures[:, :, None], 2, axis=2), data)

    def problem(self, member: Member, data: TrainingData) -> Problem:
        """Return the problem that a member's fold poses."""
        return self._prepared(member, data).problem

    def solutions(self, states: Sequence[State], data: TrainingData) -> Solutions:
        """Return what solved states of one problem hold."""
        found = [_solution(state, data.outputs) for state in states]
        weights, biases = np.array([s.weights for s in found]), np.array([s.bias for s in found])
        return Solutions(weights, biases, np.array([s.exists for s in found]))

    def freedom(
        self, member: Member, penalties: Sequence[tuple[float, float]], solutions: Solutions, data: TrainingData
    ) -> Array:
        """Return the effective numbers of parameters, (P,), of solutions as of `along`: see `Problem.freedom`."""
        problem, found = self.problem(member, data), map(Solution, solutions.weights, solutions.biases)
        with one_blas_thread():
            return np.array([problem.freedom(one, l2) for one, (_, l2) in zip(found, penalties, strict=True)])

    def _prepared(self, member: Member, data: TrainingData) -> Prepared:
        """Return what is kept of the member's fold: made once, shared by all its members and threads."""
        fold, kind = data.folds[member.fold], member.training.class_weights
        with self._lock:
            kept = self._kept.setdefault(fold, {})
            if kind not in kept:
                weights, rows = training_weights(member, fold, data.task), fold.rows
                train = rows.train if weights is None else rows.train[weights[rows.train] > 0]
                own = fold.weights

                def part(some: Array) -> Part:
                    return Rows(fold.x, some), fold.y.take(some, 0), None if own is None else own[some]

                ours = part(train)
                problem = Problem(data.task, *ours[:2], None if weights is None else weights[train])
                seen = Rows(fold.x, seen_rows(fold, data.outputs))
                kept[kind] = Prepared(problem, (ours, part(rows.stop), part(rows.score)), seen)
            return kept[kind]


def _problem_of(member: Member) -> object:
    return member.fold, member.training.class_weights


def penalty(cocktail: Cocktail) -> tuple[float, float]:
    """Return (l1, l2) of the objective."""
    strengths = cocktail.resolve(1)
    return strengths.l1[0], strengths.l2[0]


def _strongest_first(penalty: tuple[float, float]) -> tuple[float, float]:
    l1, l2 = penalty
    return -l1, -l2


def _solution(state: State, outputs: int) -> Solution:
    weights = state.parameters[:-outputs].reshape(outputs, -1)
    return Solution(weights, state.parameters[-outputs:], state.status != "unbounded")
