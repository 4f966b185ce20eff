"""The rules of a diagnosis: from measured numbers to one word. Nothing here trains, draws or reads a table.

The reading is that of every tutorial on bias and variance, made quantitative. Three losses stand on a scale: that of
the network on its training rows (T), that on rows it did not see (V), and the lowest that anything tried reaches on
rows it did not see (R, the stand-in for the noise floor). V - R is what could be gained; it is the sum of T - R, which
training rows already show (bias), and V - T, which only unseen rows show (variance). ``docs/evidence.md`` argues the
order of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from wellfit.evidence.diagnosis_bounds import Bound, Sign
from wellfit.evidence.verdict import MARGIN
from wellfit.records.diagnosis import Word

# Of the loss of guessing without looking at any column: less than this is no gain, whatever the loss.
LEAST_GAIN = 0.01
# The target counts as mostly unexplained where the loss is above this share of that of guessing.
UNEXPLAINED = 0.5
# A gap of more than this share of the loss of guessing is not small.
SMALL_GAP = 0.25
# The classifier that tells validation from training rows has to be this sure; so has the excess alone.
SHIFT_P = 0.01


@dataclass(frozen=True)
class Gain:
    """How much lower the loss of the best of some alternatives is (chosen on the other folds), and its name."""

    saved: Bound
    name: str


@dataclass(frozen=True)
class Shift:
    """Validation against training rows: the p value of a two-sample test, and the loss beyond the cross-validated one.

    ``sure`` is the one-sided p value of the excess.
    """

    p_value: float
    excess: Bound
    sure: float = 1.0
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What was measured. Losses are means over rows; T, V and R are as above.

    ``guess`` is the loss of guessing without any column, ``share`` is V less `UNEXPLAINED` times that, ``gap`` V - T,
    ``better`` what the best of all alternatives saves, ``regular`` what the best regularized, smaller or earlier
    stopped one saves, ``longer`` what training on saves, ``bias`` T - R and ``bias_later`` the same after training on.
    ``failed`` is T less the loss of guessing, where the training loss ever rose above that of the untrained network,
    and ``learning`` what training on takes off T: without it a lower V is chance, as where the steps are too large.
    ``falling`` is the loss with half the training rows less that with all. ``leaks`` are columns, ``copies`` is how
    much worse rows without a copy among the training rows are scored than all, None where there are too few.
    None stands for what was not measured.
    """

    rows: int
    folds: int
    guess: float
    loss: Bound
    train: Bound
    gap: Bound
    share: Bound
    better: Gain | None = None
    regular: Gain | None = None
    longer: Gain | None = None
    bias: Bound | None = None
    bias_later: Bound | None = None
    failed: Bound | None = None
    learning: Bound | None = None
    falling: Bound | None = None
    leaks: tuple[str, ...] = ()
    copies: Bound | None = None
    shift: Shift | None = None

    @property
    def margin(self) -> float:
        """The gain that counts: `MARGIN` of the loss, and no less than `LEAST_GAIN` of that of guessing."""
        return max(MARGIN * abs(self.loss.mean), LEAST_GAIN * self.guess)


@dataclass(frozen=True)
class Judged:
    """The word, the rule that gave it, and the signs behind it."""

    verdict: Word
    rule: str
    signs: dict[str, Sign]


def judge(measured: Measured) -> Judged:
    """Return the verdict: the first rule that the numbers decide.

    >>> flat = Bound(0.0, -0.01, 0.01)
    >>> numbers = dict(rows=500, folds=5, guess=1.0, train=Bound(0.05, 0.04, 0.06), gap=Bound(0.45, 0.4, 0.5))
    >>> cured = Gain(Bound(0.3, 0.2, 0.4), "l2=0.01")
    >>> found = judge(Measured(**numbers, loss=Bound(0.5, 0.4, 0.6), share=flat, better=cured, regular=cured))
    >>> found.verdict, found.rule
    ('overfits', 'variance')
    """
    found = signs(measured)

    def answer(word: Word, rule: str) -> Judged:
        return Judged(word, rule, found)

    if not measured.guess > 0:
        return answer("undecided", "constant")
    if found["leak"] == "yes":
        return answer("leak suspected", "leak")
    if found["failed"] == "yes":  # of all that follows the network itself would say nothing
        return answer("underfits", "failed")
    if found["copies"] == "yes":
        return answer("leak suspected", "copies")
    if found["shift"] == "yes":
        return answer("shifted validation", "shift")
    if found["longer"] == "yes":
        return answer("undertrained", "longer")
    if found["bias"] == "yes":
        return answer("both", "both") if found["variance"] == "yes" else answer("underfits", "bias")
    if found["variance"] == "yes":
        return answer("overfits", "variance")
    if found["better"] == "no" and found["longer"] == "no":
        return answer("undecided", "shift_unsure") if found["shift"] == "unsure" else _nothing_better(measured, found)
    return answer("undecided", "better" if found["better"] == "yes" else "unsure")


def _nothing_better(measured: Measured, found: dict[str, Sign]) -> Judged:
    """Return the verdict where nothing that was tried is better: by what is left unexplained."""

    def answer(word: Word, rule: str) -> Judged:
        return Judged(word, rule, found)

    if found["unexplained"] == "yes":
        return answer("undecided", "falling") if found["falling"] == "yes" else answer("noise-limited", "noise")
    if found["unexplained"] == "no":
        small = measured.gap.mean <= SMALL_GAP * measured.guess
        return answer("fits well", "good") if small else answer("undecided", "gap")
    return answer("undecided", "share")


def signs(measured: Measured) -> dict[str, Sign]:
    """Return each sign: seen (yes), absent (no) or unsure. What was not measured is absent where it cannot be."""
    margin = measured.margin
    better, regular, longer = measured.better, measured.regular, measured.longer
    cured: Sign = "no" if regular is None else regular.saved.beyond(margin)
    best: Sign = "unsure" if better is None else better.saved.beyond(margin)
    if (
        regular is not None and best == "no" and cured != best
    ):  # some alternatives are among all, so they cannot disagree
        best = cured
    later = measured.bias if measured.bias_later is None else measured.bias_later
    bias: Sign = "unsure"
    if measured.bias is not None and later is not None:
        both = (measured.bias.beyond(margin / 2), later.beyond(margin / 2))
        # Where less flexible ones are surely no better, what is better is better for being more flexible.
        freer = cured == "no" and min(measured.bias.mean, later.mean) > margin / 2
        seen = both == ("yes", "yes") or freer
        bias = "no" if "no" in both else "yes" if seen and best == "yes" else "unsure"
    # While training on may well be the cure, a gap is no sign of variance.
    open_gap = measured.gap.above(0) == "yes" and (longer is None or longer.saved.mean <= margin)
    # Where training rows are scored hardly worse than anything reaches on unseen ones, the gain lies in the gap.
    innocent = measured.bias is not None and measured.bias.above(margin / 2) == "no"
    cure = cured == "yes" or (best == "yes" and innocent)
    variance: Sign = "yes" if open_gap and cure else "no" if best == "no" and cured == "no" else "unsure"
    return {
        "leak": "yes" if measured.leaks else "no",
        "copies": "no" if measured.copies is None else measured.copies.beyond(margin),
        "shift": _shift(measured.shift),
        "failed": "no" if measured.failed is None else measured.failed.above(0),
        "longer": _longer(longer, measured.learning, margin),
        "better": best,
        "bias": bias,
        "variance": variance,
        "unexplained": measured.share.above(0),
        "falling": "no" if measured.falling is None else measured.falling.above(margin),
    }


def _longer(longer: Gain | None, learning: Bound | None, margin: float) -> Sign:
    """Return whether training on is a cure: it saves the margin, and lowers the training loss too."""
    found: Sign = "no" if longer is None else longer.saved.beyond(margin)
    return "unsure" if found == "yes" and learning is not None and learning.above(0) != "yes" else found


def _shift(shift: Shift | None) -> Sign:
    if shift is None:
        return "no"
    harm, apart = shift.excess.above(0), shift.p_value < SHIFT_P
    if shift.sure < SHIFT_P or (apart and harm == "yes"):
        return "yes"
    return "unsure" if harm == "yes" or (apart and harm == "unsure") else "no"
