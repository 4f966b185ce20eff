"""A user's PyTorch module as a network: a named factory, so that what it trains can be recorded and continued."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from wellfit.cocktail import BatchNorm, Cocktail, Dropout, GroupLasso, Strengths
from wellfit.errors import SettingError
from wellfit.records import Array, inputs_of

if TYPE_CHECKING:
    from wellfit.nets.built import Built

Inputs = int | tuple[int, ...]
_NAME_MARKS = set("|+;\n\r\t")


@dataclass(frozen=True)
class Module:
    """A PyTorch module by the name and factory of its class; made by `module`.

    ``factory`` is called for each member, with the keywords ``inputs`` (the shape of one input, or the number of
    features) and ``outputs`` (logits or values, k) as far as it takes them, and returns an ``nn.Module`` that maps
    (n, ...) to (n, k): logits of each class, one logit for two classes ((n, 2) is understood too), or values. Its
    starting weights are those that the factory draws with PyTorch's generator seeded by the member's seed: one that
    seeds it itself, or draws elsewhere, is refused.

    What a cocktail does to it: penalties reach weight matrices and kernels, in the order of ``named_parameters``, and
    never biases or normalization layers. Dropout sets the rates of the module's own ``nn.Dropout`` layers, in the order
    in which an input meets them, whatever rate they were made with; with ``insert_dropout`` layers are put in front of
    every weight layer but the first, after the activation, where there is none. Batch normalization layers of the
    module's own are there with ``batch_norm`` and left out without; where it has none they are put behind every weight
    layer but the last. Where either is put in, a module that multiplies by weights outside of a call of their layer, as
    attention does, is refused.

    Equal names and settings with another factory are another network.
    """

    name: str
    factory: Callable[..., Any] = field(repr=False)
    insert_dropout: bool = False
    inputs: Inputs | None = field(default=None, compare=False, repr=False)
    outputs: int | None = field(default=None, compare=False, repr=False)
    linear: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or _NAME_MARKS & set(self.name):
            raise SettingError("module.bad_name", value=self.name)
        if not callable(self.factory):
            raise SettingError("module.bad_factory", name=self.name, kind=type(self.factory).__name__)
        torch = sys.modules.get("torch")  # who made a module has imported it
        if torch is not None and isinstance(self.factory, torch.nn.Module):
            raise SettingError("module.made_already", name=self.name, kind=type(self.factory).__name__)
        try:
            hash(self.factory)
        except TypeError:
            kind = type(self.factory).__name__
            raise SettingError("module.unhashable", name=self.name, kind=kind) from None

    def __str__(self) -> str:
        """Return the name, with what differs from the usual."""
        return self.name + (":insert_dropout" if self.insert_dropout else "")

    def bound(self, inputs: Inputs, outputs: int) -> Module:
        """Return this module for inputs of that shape and so many outputs. Counts of layers are known from then on."""
        return replace(self, inputs=inputs, outputs=outputs)

    @property
    def key(self) -> str:
        """What a ledger knows it by: the text, and a hash of the layers, so that an edited factory is another one."""
        return f"{self}#{self._here(batch_norm=False).signature}"

    @property
    def layers(self) -> int:
        """Number of weight matrices and kernels."""
        return len(self._here(batch_norm=False).layout.weights)

    @property
    def entry(self) -> int | None:
        """The place, among the weights, of the layer that an input meets first; None where it has no columns."""
        return self._here(batch_norm=False).entry

    @property
    def tokens(self) -> bool:
        """Whether it reads whole numbers, such as tokens, and not values."""
        return self._here(batch_norm=False).tokens

    def strengths(self, cocktail: Cocktail) -> Strengths:
        """Return the cocktail bound to this module. Raises `SettingError` where the two do not go together."""
        built = self._here(batch_norm=cocktail.get(BatchNorm) is not None)
        if cocktail.get(Dropout) is not None and not built.places:
            raise SettingError("module.no_dropout", name=self.name)
        if cocktail.get(BatchNorm) is not None and not built.normalized:
            raise SettingError("module.nothing_to_normalize", name=self.name)
        if cocktail.get(GroupLasso) is not None and built.entry is None:
            raise SettingError("module.no_columns", name=self.name)
        strengths = cocktail.resolve(len(built.layout.weights), built.places)
        for place, bound in zip(built.layout.weights, strengths.max_norm, strict=True):
            slot = built.layout.slots[place]
            if math.isfinite(bound) and slot.orientation is None:
                raise SettingError("module.no_units", name=self.name, weight=slot.name)
        return strengths

    def size(self, inputs: Inputs, outputs: int) -> int:
        """Return the number of learned parameters, without those of normalization that a cocktail adds."""
        return self.built(inputs, outputs, batch_norm=False).layout.learned

    def products(self, inputs: Inputs, outputs: int) -> int:
        """Return the multiplications of one row's forward pass."""
        return self.built(inputs, outputs, batch_norm=False).products

    def initialize(self, seed: int, inputs: Inputs, outputs: int, *, batch_norm: bool = False) -> Array:
        """Return the starting parameters, (T,) float64: a pure function of seed and shape. See `Built.initialize`."""
        return self.built(inputs, outputs, batch_norm=batch_norm).initialize(seed)

    def fold(self, parameters: Array, inputs: Inputs, outputs: int) -> Array:
        """Return the parameters as they are: a module evaluates its own normalization."""
        del inputs, outputs
        return parameters

    def weights(self, parameters: Array, inputs: Inputs, outputs: int, *, batch_norm: bool = False) -> list[Array]:
        """Return views of the weight matrices and kernels in a flat vector (T,), in order.

        Here and below ``batch_norm`` says which variant the vector is of. Raises `SettingError` where it does not fit.
        """
        return self._of(parameters, inputs, outputs, batch_norm).layout.weights_in(parameters)

    def forward(self, parameters: Array, x: Array, outputs: int, *, batch_norm: bool = False) -> Array:
        """Return the outputs before any link, (n, k) float64, for inputs (n, ...), in evaluation mode."""
        return self._of(parameters, inputs_of(x), outputs, batch_norm).forward(parameters, x)

    def unit_shares(
        self, parameters: Array, x: Array, outputs: int, *, batch_norm: bool = False
    ) -> tuple[float, float, float]:
        """Return which shares of the hidden units, or channels, are always on, always off and saturated on x.

        A channel counts as on where it is so at every position; the values looked at are those that leave a weight
        layer, or the normalization behind it, before any activation. No share of saturated units is known: NaN.
        """
        return self._of(parameters, inputs_of(x), outputs, batch_norm).unit_shares(parameters, x)

    def built(self, inputs: Inputs, outputs: int, *, batch_norm: bool) -> Built:
        """Return the module as built for a shape: see `wellfit.nets.built`. Needs the extra ``torch``."""
        from wellfit.nets.built import build

        return build(self, inputs, outputs, batch_norm)

    def make(self, inputs: Inputs, outputs: int) -> Any:
        """Call the factory with what it takes of ``inputs`` and ``outputs``."""
        given = {"inputs": inputs, "outputs": outputs}
        try:
            known = inspect.signature(self.factory).parameters
        except (TypeError, ValueError):  # it does not say what it takes
            return self.factory()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            return self.factory(**given)
        return self.factory(**{name: value for name, value in given.items() if name in known})

    def _here(self, *, batch_norm: bool) -> Built:
        if self.inputs is None or self.outputs is None:
            raise SettingError("module.unbound", name=self.name)
        return self.built(self.inputs, self.outputs, batch_norm=batch_norm)

    def _of(self, parameters: Array, inputs: Inputs, outputs: int, batch_norm: bool) -> Built:
        built = self.built(inputs, outputs, batch_norm=batch_norm)
        if built.layout.total == len(parameters):
            return built
        raise SettingError("module.wrong_parameters", name=self.name, given=len(parameters), needed=built.layout.total)


def module(name: str, factory: Callable[..., Any] | None = None, *, insert_dropout: bool = False) -> Module:
    """Return a network from any PyTorch module: a name, under which results are recorded, and what makes it.

    ``factory`` is a class or function; it may take ``inputs`` and ``outputs``. Without one, ``name`` is a module that
    comes with wellfit: see `wellfit.nets.modules.MODULES`. Raises `SettingError` for an unknown or impossible name.

    >>> import wellfit as wf
    >>> str(wf.module("cnn"))
    'cnn'
    """
    if factory is None:
        from wellfit.nets.modules import MODULES

        if name not in MODULES:
            raise SettingError("module.unknown", value=name, known=", ".join(MODULES))
        factory = MODULES[name]
    return Module(name, factory, insert_dropout)


def module_of_file(text: str) -> Module:
    """Return the network that ``path/to/file.py:Name`` names: the file is run, once, and Name is the factory.

    While it runs its folder is looked in for what it imports. Raises `SettingError` where there is no such file or
    name, or where the file raises an error.
    """
    path, _, name = text.rpartition(":")
    try:
        there = _run(str(Path(path).resolve()), Path(path).stat().st_mtime_ns)
    except Exception as error:
        raise SettingError("module.bad_file", path=path, kind=type(error).__name__, error=error) from error
    if not name or not hasattr(there, name):
        raise SettingError("module.no_such_name", path=path, name=name or '""')
    return Module(text, getattr(there, name))


@lru_cache(maxsize=32)
def _run(path: str, changed: int) -> ModuleType:
    """Run a file as a Python module; ``changed`` is when it was written, so that an edited file runs again."""
    import importlib.util

    known = f"wellfit_users_module_{abs(hash((path, changed)))}"
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None
    assert spec.loader is not None
    there = importlib.util.module_from_spec(spec)
    sys.modules[known] = there  # classes look theirs up there
    sys.path.insert(0, str(Path(path).parent))
    try:
        spec.loader.exec_module(there)
    except BaseException:
        del sys.modules[known]
        raise
    finally:
        sys.path.remove(str(Path(path).parent))
    return there
