"""Masks of a net's answer that are computed a few at a time, when they are read.

Mask heads interpolate the masks of all objects to the size of the image at once, in float32: a hundred objects in 12
megapixels take 4.8 GB, several times over. Inside ``masks_later`` an interpolation to that many values answers with
``LaterMasks``, which notes what a head does to its maps (interpolate, crop, pad, compare, index) in place of doing it.
Each map goes through the head's own operations, so that the values are those of the head, whichever it is; what
``LaterMasks`` does not know is done at once, to all maps.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..detection.arrays import Rle
from ..detection.mask_crops import MaskCrops
from ..detection.masks import encode_masks

LEAST = 1 << 24
"""Values from which an interpolation waits: below, all at once is faster and 64 MB at most."""
AT_A_TIME = 1 << 24
"""Values of maps that are computed at a time; two maps at least, however large."""

Make = Callable[[torch.Tensor], torch.Tensor]
"""Gets numbers of maps ``(K,)`` int64, and returns these maps ``(K, ...)``."""

_ELEMENTWISE = frozenset(
    {"abs", "bool", "clone", "contiguous", "detach", "float", "ge", "gt", "le", "logical_not", "lt", "neg", "sigmoid"}
    | {"to"}
)
_OF_TWO = frozenset({"mul", "add", "sub", "logical_and"})
_REDUCTIONS = frozenset({"sum", "any", "all", "mean"})
_active = ContextVar("masks of answers are computed later", default=False)
_computing = ContextVar("masks are computed now", default=False)


@contextlib.contextmanager
def masks_later() -> Iterator[None]:
    """Let what a net answers inside have masks as ``LaterMasks`` or as lists of RLE, where they are large."""
    token = _active.set(True)
    try:
        with warnings.catch_warnings(), _Waiting():
            warnings.filterwarnings("ignore", message="To copy construct from a tensor")  # MMDetection's cascades
            yield
    finally:
        _active.reset(token)


def is_later() -> bool:
    """Say whether ``masks_later`` is active: a mask head may answer a list of RLE dicts then."""
    return _active.get()


def encoded(masks: Any) -> list[Rle]:
    """Return masks of any of the forms that nets answer inside ``masks_later`` as COCO RLE dicts.

    Args:
        masks: ``(N, height, width)`` of 0 and 1, as ``LaterMasks``, tensor or array, or a list of RLE dicts.
    """
    if isinstance(masks, list):
        return masks
    if isinstance(masks, LaterMasks) and not masks.is_dense:
        return [rle for chunk in masks.chunks(least=1) for rle in _encoded(chunk)]
    tensor = masks.dense() if isinstance(masks, LaterMasks) else torch.as_tensor(masks)
    each = max(1, AT_A_TIME // max(1, tensor[:1].numel()))
    return [rle for start in range(0, len(tensor), each) for rle in _encoded(tensor[start : start + each])]


def _encoded(masks: torch.Tensor) -> list[Rle]:
    if masks.dtype == torch.bool:
        return MaskCrops.from_dense(masks.cpu().numpy()).to_rles()
    return encode_masks(masks.to(torch.uint8).cpu().numpy())


class _Waiting(TorchFunctionMode):
    """Answers large interpolations with ``LaterMasks``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.interpolate and not _computing.get() and not torch.is_grad_enabled():
            maps, rest = (args[0], args[1:]) if args else (kwargs["input"], ())
            rest_named = {name: value for name, value in kwargs.items() if name != "input"}
            if isinstance(maps, torch.Tensor) and maps.ndim == 4 and maps.is_floating_point():
                size = _size_after(maps.shape[-2:], *rest, **rest_named)
                if maps.shape[0] * maps.shape[1] * size[0] * size[1] >= LEAST:
                    return LaterMasks.of(maps).interpolate(*rest, **rest_named)
        return func(*args, **kwargs)


def _size_after(before: Sequence[int], size: Any = None, scale_factor: Any = None, *_: Any, **__: Any) -> list[int]:
    """Return height and width that ``torch.nn.functional.interpolate`` makes, by its arguments behind the first."""
    if size is not None:
        return [int(side) for side in (size if isinstance(size, (list, tuple)) else [size, size])]
    factors = scale_factor if isinstance(scale_factor, (list, tuple)) else [scale_factor, scale_factor]
    return [math.floor(float(side) * factor) for side, factor in zip(before, factors, strict=True)]


class LaterMasks:
    """A tensor ``(..., *trailing)`` of maps, such as ``(N, height, width)``, that are computed when they are read.

    Args:
        make: Computes maps by their numbers.
        rows: int64, the number of the map at each position of the leading dimensions.
        trailing: The shape of a map.
        dtype: What the maps are of.
    """

    def __init__(self, make: Make, rows: torch.Tensor, trailing: Sequence[int], dtype: torch.dtype) -> None:
        self.make, self.rows, self._trailing = make, rows, tuple(int(side) for side in trailing)
        self._dtype, self._done = dtype, None

    _done: "torch.Tensor | None"

    @classmethod
    def of(cls, maps: torch.Tensor) -> "LaterMasks":
        """Return what a tensor ``(B, N, height, width)`` holds, as ``LaterMasks`` of its maps."""
        flat = maps.reshape(-1, *maps.shape[-2:])
        rows = torch.arange(len(flat), device=maps.device).reshape(maps.shape[:2])
        return cls(lambda numbers: flat[numbers], rows, maps.shape[-2:], maps.dtype)

    # -- as tensors are asked --------------------------------------------------------------------------------

    @property
    def shape(self) -> torch.Size:
        """Lengths of all dimensions."""
        return torch.Size((*self.rows.shape, *self._trailing)) if self._done is None else self._done.shape

    @property
    def dtype(self) -> torch.dtype:
        """What the maps are of."""
        return self._dtype if self._done is None else self._done.dtype

    @property
    def device(self) -> torch.device:
        """Where the maps are computed."""
        return self.rows.device

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether all maps have been computed, since something was done that maps alone cannot do."""
        return self._done is not None

    def size(self, dim: "int | None" = None) -> Any:
        """Return the shape, or the length of a dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return how many dimensions there are."""
        return self.ndim

    def numel(self) -> int:
        """Return how many values there are."""
        return self.shape.numel()

    def new_zeros(self, *size: Any, **options: Any) -> torch.Tensor:
        """Return zeros of the same kind."""
        return torch.empty(0, dtype=self.dtype, device=self.device).new_zeros(*size, **options)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    # -- computing -------------------------------------------------------------------------------------------

    def chunks(self, least: int = 2) -> Iterator[torch.Tensor]:
        """Yield the maps ``(K, *trailing)`` in their order, ``least`` at a time where there are as many.

        Two are the least where sums are taken: PyTorch splits the sum of a single row among threads.
        """
        numbers = self.rows.reshape(-1)
        each = max(least, AT_A_TIME // max(1, torch.Size(self._trailing).numel()))
        count = max(1, len(numbers) // each) if least > 1 else -(-len(numbers) // each)
        for part in torch.tensor_split(numbers, max(1, count)):
            yield self._computed(part)

    def dense(self) -> torch.Tensor:
        """Return all maps as a tensor; what is done from there on is done to it."""
        if self._done is None:
            self._done = self._computed(self.rows.reshape(-1)).reshape(self.shape)
        return self._done

    @torch.no_grad()
    def _computed(self, numbers: torch.Tensor) -> torch.Tensor:
        if not len(numbers):
            return torch.zeros((0, *self._trailing), dtype=self._dtype, device=self.device)
        token = _computing.set(True)
        try:
            return self.make(numbers)
        finally:
            _computing.reset(token)

    def then(self, step: Callable[[torch.Tensor], torch.Tensor], trailing: Sequence[int], dtype: Any) -> "LaterMasks":
        """Return the maps after one more step, which makes maps of shape ``trailing`` and of ``dtype``."""
        make = self.make
        return LaterMasks(lambda numbers: step(make(numbers)), self.rows, trailing, dtype)

    def _led(self, rows: torch.Tensor) -> "LaterMasks":
        return LaterMasks(self.make, rows, self._trailing, self._dtype)

    # -- what heads do to maps -------------------------------------------------------------------------------

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first, rest = (args[0], args[1:]) if args else (None, ())
        if isinstance(first, LaterMasks):
            answer = first.known(func.__name__, rest, kwargs or {})
            if answer is not NotImplemented:
                return answer
        return func(*_dense(args), **_dense(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(torch.Tensor, name):
            raise AttributeError(name)
        if not callable(getattr(torch.Tensor, name)):
            return getattr(self.dense(), name)

        def method(*args: Any, **kwargs: Any) -> Any:
            answer = self.known(name, args, kwargs)
            if answer is not NotImplemented:
                return answer
            return getattr(self.dense(), name)(*_dense(args), **_dense(kwargs))

        return method

    def __getitem__(self, index: Any) -> Any:
        answer = NotImplemented if self.is_dense else self._indexed(index)
        return self.dense()[index] if answer is NotImplemented else answer

    def __setitem__(self, index: Any, value: Any) -> None:
        self.dense()[index] = _dense([value])[0]

    def __gt__(self, other: Any) -> Any:
        return self.gt(other)

    def __ge__(self, other: Any) -> Any:
        return self.ge(other)

    def __lt__(self, other: Any) -> Any:
        return self.lt(other)

    def __le__(self, other: Any) -> Any:
        return self.le(other)

    def __mul__(self, other: Any) -> Any:
        return self.mul(other)

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Any:
        return self.add(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self.sub(other)

    def __neg__(self) -> Any:
        return self.neg()

    def known(self, name: str, args: Any, kwargs: Any) -> Any:
        """Do what is done to each map alone; ``NotImplemented`` where it is something else."""
        if self.is_dense:
            return NotImplemented
        scalars = all(isinstance(value, (int, float, torch.dtype)) for value in (*args, *kwargs.values()))
        if name in _ELEMENTWISE or (name in _OF_TWO and scalars):
            return self._elementwise(name, args, kwargs) if scalars else NotImplemented
        if name in _OF_TWO and len(args) == 1 and not kwargs:
            return self._with(name, args[0])
        if name in _REDUCTIONS:
            return self._reduced(name, *args, **kwargs)
        do: dict[str, Callable[..., Any]] = {
            "interpolate": self.interpolate,
            "pad": self._pad,
            "squeeze": self._squeeze,
        }
        do |= {"unsqueeze": self._unsqueeze, "flatten": self._flatten}
        return do[name](*args, **kwargs) if name in do else NotImplemented

    def _elementwise(self, name: str, args: Any, kwargs: Any) -> "LaterMasks":
        method = getattr(torch.Tensor, name)
        dtype = method(torch.zeros(1, dtype=self._dtype), *args, **kwargs).dtype
        return self.then(lambda maps: method(maps, *args, **kwargs), self._trailing, dtype)

    def _with(self, name: str, other: Any) -> Any:
        same = isinstance(other, LaterMasks) and not other.is_dense and other.shape == self.shape
        if not same or not torch.equal(other.rows, self.rows):
            return NotImplemented
        method, first, second = getattr(torch.Tensor, name), self.make, other.make
        dtype = method(torch.zeros(1, dtype=self._dtype), torch.zeros(1, dtype=other.dtype)).dtype
        return LaterMasks(
            lambda numbers: method(first(numbers), second(numbers)), self.rows, self._trailing, dtype
        )  # both are of the same maps, so that a number means the same in each

    def _reduced(self, name: str, dim: Any = None, **options: Any) -> Any:
        lead = self.rows.ndim
        dims = (
            [each % self.ndim for each in (dim if isinstance(dim, (tuple, list)) else [dim])] if dim is not None else []
        )
        if not dims or min(dims) < lead or options or not self.rows.numel():
            return NotImplemented
        own = [each - lead + 1 for each in dims]
        method = getattr(torch.Tensor, name)
        parts = torch.cat([method(maps, own[0] if len(own) == 1 else own) for maps in self.chunks()])
        return parts.reshape(*self.rows.shape, *parts.shape[1:])

    def interpolate(self, *args: Any, **kwargs: Any) -> Any:
        """Return the maps at another size; the arguments are those of ``torch.nn.functional.interpolate``."""
        if self.rows.ndim != 2 or len(self._trailing) != 2:
            return NotImplemented
        size = _size_after(self._trailing, *args, **kwargs)
        return self.then(lambda maps: functional.interpolate(maps[None], *args, **kwargs)[0], size, self._dtype)

    def _pad(self, pad: Sequence[int], *args: Any, **kwargs: Any) -> Any:
        if len(pad) > 4 or len(self._trailing) != 2:
            return NotImplemented
        left, right, top, bottom = (*pad, 0, 0, 0, 0)[:4]
        size = self._trailing[0] + top + bottom, self._trailing[1] + left + right
        return self.then(lambda maps: functional.pad(maps[None], list(pad), *args, **kwargs)[0], size, self._dtype)

    def _squeeze(self, dim: "int | None" = None) -> Any:
        if not isinstance(dim, int) or dim % self.ndim >= self.rows.ndim:
            return NotImplemented
        return self._led(self.rows.squeeze(dim % self.ndim))

    def _unsqueeze(self, dim: int) -> Any:
        dim = dim % (self.ndim + 1)
        return self._led(self.rows.unsqueeze(dim)) if dim <= self.rows.ndim else NotImplemented

    def _flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        if start_dim % self.ndim != self.rows.ndim or end_dim % self.ndim != self.ndim - 1:
            return NotImplemented
        return self.then(lambda maps: maps.flatten(1), [torch.Size(self._trailing).numel()], self._dtype)

    def _indexed(self, index: Any) -> Any:
        """Index leading dimensions as a tensor is, and cut maps by slices."""
        parts = list(index) if isinstance(index, tuple) else [index]
        if any(isinstance(part, (list, LaterMasks)) for part in parts):
            return NotImplemented
        used = sum(_takes(part) for part in parts)
        gap = [slice(None)] * (self.ndim - used)
        places = [place for place, part in enumerate(parts) if part is Ellipsis]
        parts = [*parts[: places[0]], *gap, *parts[places[0] + 1 :]] if places else [*parts, *gap]
        lead, left = list[Any](), self.rows.ndim
        while parts and left >= _takes(parts[0]) and (left or parts[0] is None):
            left -= _takes(parts[0])
            lead.append(parts.pop(0))
        if left or not all(isinstance(part, slice) for part in parts):
            return NotImplemented
        later = self._led(self.rows[tuple(lead)] if lead else self.rows)
        if all(part == slice(None) for part in parts):
            return later
        cut = tuple(parts)
        trailing = [len(range(*part.indices(side))) for part, side in zip(cut, self._trailing, strict=True)]
        return later.then(lambda maps: maps[(slice(None), *cut)], trailing, self._dtype)


def _takes(part: Any) -> int:
    """Return how many dimensions a part of an index stands for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, torch.Tensor) and part.dtype == torch.bool else 1


def _dense(values: Any) -> Any:
    if isinstance(values, LaterMasks):
        return values.dense()
    if isinstance(values, (list, tuple)):
        return type(values)(_dense(value) for value in values)
    return {name: _dense(value) for name, value in values.items()} if isinstance(values, dict) else values
