"""The lessons' formulas, each as MathML for the page (browsers draw it, no script or font is needed) and as LaTeX."""

from __future__ import annotations

import re
from typing import NamedTuple

from wellfit.messages import say


class Formula(NamedTuple):
    """One formula, written twice."""

    mathml: str
    latex: str


def _tag(name: str, *inside: str) -> str:
    return f"<{name}>{''.join(inside)}</{name}>"


def _i(name: str) -> str:
    return _tag("mi", name)


def _o(sign: str) -> str:
    return _tag("mo", sign)


def _n(number: str) -> str:
    return _tag("mn", number)


def _t(text: str) -> str:
    return f'<mi mathvariant="normal">{text}</mi>'


def _row(*inside: str) -> str:
    return _tag("mrow", *inside)


def _sub(base: str, below: str) -> str:
    return _tag("msub", base, below)


def _sup(base: str, above: str) -> str:
    return _tag("msup", base, above)


def _frac(top: str, bottom: str) -> str:
    return _tag("mfrac", top, bottom)


def _hat(base: str, sign: str = "^") -> str:
    return f'<mover accent="true">{base}<mo stretchy="false">{sign}</mo></mover>'


def _group(*inside: str) -> str:
    return _row(_o("("), *inside, _o(")"))


def _square(*inside: str) -> str:
    return _row(_o("["), *inside, _o("]"))


def _size(*inside: str) -> str:
    return _row('<mo stretchy="false">|</mo>', *inside, '<mo stretchy="false">|</mo>')


def _sum(below: str, above: str = "") -> str:
    sign = '<mo movablelimits="false">∑</mo>'
    return _tag("munderover", sign, below, above) if above else _tag("munder", sign, below)


def _gap() -> str:
    return '<mspace width="0.18em"/>'


def _under(name: str, below: str) -> str:
    return _tag("munder", _t(name), below)


def formulas(name: str) -> tuple[Formula, ...]:
    """Return a lesson's formulas, the words in them from the catalogue."""
    return tuple(Formula(*(_WORD.sub(_said, text) for text in each)) for each in _FORMULAS[name])


def _said(word: re.Match[str]) -> str:
    return say(f"lesson.word_{word[1]}")


_WORD = re.compile("@([a-z_]+)@")
_W, _EQUALS, _PLUS, _MINUS, _ARROW = _i("W"), _o("="), _o("+"), _o("−"), _o("←")
_LOSS = _i("ℓ")
_ETA, _LAMBDA = _i("η"), _i("λ")
_ONE, _TWO = _n("1"), _n("2")
_L1, _L2 = _sub(_LAMBDA, _ONE), _sub(_LAMBDA, _TWO)
_MEAN = _row(_frac(_ONE, _i("m")), _sum(_row(_i("i"), _EQUALS, _ONE), _i("m")))
_FIT = _row(_sub(_i("f"), _W), _group(_sub(_i("x"), _i("i"))))
_EXPECTED = _t("E")
_F, _F_HAT = _row(_i("f"), _group(_i("x"))), _row(_hat(_i("f")), _group(_i("x")))

_FORMULAS: dict[str, tuple[Formula, ...]] = {
    "overfitting": (
        Formula(
            _row(
                _sub(_i("L"), _t("train")), _group(_W), _EQUALS, _MEAN, _gap(), _LOSS,
                _group(_FIT, _o(","), _sub(_i("y"), _i("i"))),
            ),
            r"L_\text{train}(W) = \frac{1}{m}\sum_{i=1}^{m} \ell\big(f_W(x_i),\, y_i\big)",
        ),
        Formula(
            _row(
                _sub(_i("L"), _t("new")), _group(_W), _EQUALS, _sub(_EXPECTED, _row(_i("x"), _o(","), _i("y"))), _gap(),
                _LOSS, _group(_sub(_i("f"), _W), _group(_i("x")), _o(","), _i("y")),
            ),
            r"L_\text{new}(W) = \mathrm{E}_{x,y}\; \ell\big(f_W(x),\, y\big)",
        ),
        Formula(
            _row(_t("@gap@"), _EQUALS, _sub(_i("L"), _t("new")), _group(_W), _MINUS, _sub(_i("L"), _t("train")),
                 _group(_W)),
            r"\text{@gap@} = L_\text{new}(W) - L_\text{train}(W)",
        ),
    ),
    "l1-or-l2": (
        Formula(
            _row(
                _i("J"), _group(_W), _EQUALS, _sub(_i("L"), _t("train")), _group(_W), _PLUS, _L1, _gap(),
                _sum(_i("j")), _size(_sub(_i("w"), _i("j"))), _PLUS, _frac(_L2, _TWO), _sum(_i("j")),
                _tag("msubsup", _i("w"), _i("j"), _TWO),
            ),
            r"J(W) = L_\text{train}(W) + \lambda_1 \sum_j |w_j| + \frac{\lambda_2}{2} \sum_j w_j^2",
        ),
        Formula(
            _row(
                _t("L1:"), _gap(), _i("w"), _ARROW, _t("sign"), _group(_i("w")), _gap(), _t("max"),
                _group(_size(_i("w")), _MINUS, _ETA, _L1, _o(","), _n("0")),
            ),
            r"\text{L1:}\quad w \leftarrow \operatorname{sign}(w)\, \max\big(|w| - \eta\lambda_1,\, 0\big)",
        ),
        Formula(
            _row(_t("L2:"), _gap(), _i("w"), _ARROW, _group(_ONE, _MINUS, _ETA, _L2), _gap(), _i("w")),
            r"\text{L2:}\quad w \leftarrow (1 - \eta\lambda_2)\, w",
        ),
    ),
    "dropout": (
        Formula(
            _row(
                _sub(_hat(_i("h"), "~"), _i("j")), _EQUALS,
                _frac(_row(_sub(_i("b"), _i("j")), _sub(_i("h"), _i("j"))), _row(_ONE, _MINUS, _i("p"))), _o(","),
                '<mspace width="1em"/>', _sub(_i("b"), _i("j")), _o("∼"), _t("Bernoulli"),
                _group(_ONE, _MINUS, _i("p")),
            ),
            r"\tilde h_j = \frac{b_j\, h_j}{1 - p}, \qquad b_j \sim \text{Bernoulli}(1 - p)",
        ),
        Formula(
            _row(
                _EXPECTED, _square(_sub(_hat(_i("h"), "~"), _i("j"))), _EQUALS,
                _frac(_row(_group(_ONE, _MINUS, _i("p")), _sub(_i("h"), _i("j"))), _row(_ONE, _MINUS, _i("p"))),
                _EQUALS, _sub(_i("h"), _i("j")),
            ),
            r"\mathrm{E}[\tilde h_j] = \frac{(1 - p)\, h_j}{1 - p} = h_j",
        ),
    ),
    "early-stopping": (
        Formula(
            _row(
                _sub(_W, _row(_i("t"), _PLUS, _ONE)), _EQUALS, _sub(_W, _i("t")), _MINUS, _ETA, _gap(), _o("∇"),
                _sub(_i("L"), _t("train")), _group(_sub(_W, _i("t"))),
            ),
            r"W_{t+1} = W_t - \eta\, \nabla L_\text{train}(W_t)",
        ),
        Formula(
            _row(
                _sup(_i("t"), _o("∗")), _EQUALS, _under("arg min", _i("t")), _gap(), _sub(_i("L"), _t("stop")),
                _group(_sub(_W, _i("t"))),
            ),
            r"t^* = \arg\min_t\, L_\text{stop}(W_t)",
        ),
    ),
    "augmentation": (
        Formula(
            _row(
                _t("@noise@:"), _gap(), _hat(_i("x"), "~"), _EQUALS, _i("x"), _PLUS, _i("ε"), _o(","),
                '<mspace width="1em"/>', _i("ε"), _o("∼"), _i("N"), _group(_n("0"), _o(","), _sup(_i("σ"), _TWO)),
            ),
            r"\text{@noise@:}\quad \tilde x = x + \varepsilon, \qquad \varepsilon \sim N(0, \sigma^2)",
        ),
        Formula(
            _row(
                _t("mixup:"), _gap(), _hat(_i("x"), "~"), _EQUALS, _i("c"), _gap(), _sub(_i("x"), _i("i")), _PLUS,
                _group(_ONE, _MINUS, _i("c")), _sub(_i("x"), _i("j")), _o(","), '<mspace width="1em"/>',
                _hat(_i("y"), "~"), _EQUALS, _i("c"), _gap(), _sub(_i("y"), _i("i")), _PLUS,
                _group(_ONE, _MINUS, _i("c")), _sub(_i("y"), _i("j")),
            ),
            r"\text{mixup:}\quad \tilde x = c\,x_i + (1-c)\,x_j, \qquad \tilde y = c\,y_i + (1-c)\,y_j",
        ),
        Formula(
            _row(_i("c"), _o("∼"), _t("Beta"), _group(_i("α"), _o(","), _i("α"))),
            r"c \sim \text{Beta}(\alpha, \alpha)",
        ),
    ),
    "bias-variance": (
        Formula(
            _row(
                _EXPECTED, _square(_sup(_group(_i("y"), _MINUS, _F_HAT), _TWO)), _EQUALS,
                _sup(_group(_EXPECTED, _square(_F_HAT), _MINUS, _F), _TWO), _PLUS,
                _EXPECTED, _square(_sup(_group(_F_HAT, _MINUS, _EXPECTED, _square(_F_HAT)), _TWO)), _PLUS,
                _sup(_i("σ"), _TWO),
            ),
            r"\mathrm{E}\big[(y - \hat f(x))^2\big] = \big(\mathrm{E}[\hat f(x)] - f(x)\big)^2 + "
            r"\mathrm{E}\Big[\big(\hat f(x) - \mathrm{E}[\hat f(x)]\big)^2\Big] + \sigma^2",
        ),
        Formula(
            _row(_t("@loss@"), _EQUALS, _sup(_t("@bias@"), _TWO), _PLUS, _t("@variance@"), _PLUS, _t("@noise@")),
            r"\text{@loss@} = \text{@bias@}^2 + \text{@variance@} + \text{@noise@}",
        ),
    ),
    "learning-rate": (
        Formula(
            _row(
                _sub(_W, _row(_i("t"), _PLUS, _ONE)), _EQUALS, _sub(_W, _i("t")), _MINUS, _ETA,
                _group(_o("∇"), _sub(_i("L"), _t("train")), _group(_sub(_W, _i("t"))), _PLUS, _LAMBDA, _gap(),
                       _sub(_W, _i("t"))),
            ),
            r"W_{t+1} = W_t - \eta\,\big(\nabla L_\text{train}(W_t) + \lambda W_t\big)",
        ),
        Formula(
            _row(
                _t("@at_rest@:"), _gap(), _o("∇"), _sub(_i("L"), _t("train")), _group(_sup(_W, _o("∗"))), _PLUS,
                _LAMBDA, _gap(), _sup(_W, _o("∗")), _EQUALS, _n("0"),
            ),
            r"\text{@at_rest@:}\quad \nabla L_\text{train}(W^*) + \lambda W^* = 0",
        ),
    ),
}  # fmt: skip
