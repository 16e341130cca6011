"""A device that is not there: tensors whose numbers are on the CPU, and which say that they are on an accelerator.

Every operation looks at where its tensors are, as a GPU would: an operation on both devices fails, and so does reading
such a tensor as an array. What passes here has no tensor on the wrong device; whether it is right or fast on a real GPU
only one can tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

__all__ = ["DEVICE", "Pretended", "there"]

_setup_privateuseone_for_python_backend("pretended")
DEVICE = torch.device("pretended", 0)
_COPIES = ("aten._to_copy", "aten.copy_", "aten.to.")
_LISTS = ("aten.index.Tensor", "aten.index_put", "aten._index_put_impl_", "aten._unsafe_index")
"""Where an index may be on the CPU while what it indexes is not, as PyTorch allows."""
_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__)


class Pretended(Tensor):
    """A tensor on DEVICE."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Pretended:
        made = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE, requires_grad=held.requires_grad,
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Pretended({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = str(function)
    asked = kwargs.get("device")
    on_device = asked is not None and torch.device(asked).type == DEVICE.type
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    ours = [value for value in tensors if isinstance(value, Pretended)]
    # A number without axes may be anywhere, and an index on the CPU is sent along.
    others = [value for value in tensors if not isinstance(value, Pretended) and value.dim() > 0]
    copies = name.startswith(_COPIES)
    if ours and others and not copies:
        indexed = name.startswith(_LISTS) and isinstance(args[0], Pretended)
        if not (indexed and not any(value is args[0] for value in others)):
            shapes = [tuple(value.shape) for value in others]
            raise RuntimeError(f"{name}: expected all tensors on one device, but {shapes} are on the CPU")
    if on_device:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
    out = function(*plain_args, **plain_kwargs)
    if name.startswith("aten.copy_"):
        return args[0]
    stays = asked is not None and not on_device
    if stays or not (on_device or ours):
        return out
    changed = {id(_plain(value)): value for value in ours}

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in changed:
            return changed[id(value)]
        return Pretended(value)

    return tree_map(wrapped, out)


def _plain(value: Any) -> Any:
    return value.held if isinstance(value, Pretended) else value


class _Mode(TorchDispatchMode):
    """Sees what makes tensors from nothing, too."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What PyTorch makes of Python's numbers never reaches the operations above."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        asked = kwargs.get("device")
        if function in (torch.tensor, torch.as_tensor) and asked is not None and torch.device(asked) == DEVICE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if function is Tensor.new_tensor and isinstance(args[0], Pretended) and asked is None:
            return args[0].held.new_tensor(*args[1:], **kwargs).to(DEVICE)
        if function in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], _index(args[1]), *args[2:])
        if function in _PRODUCTS and any(isinstance(value, Pretended) and value.dim() == 1 for value in args[:2]):
            # Of a vector PyTorch makes a matrix, and changes the shape of the product where it is, unseen from here.
            left, right = reversed(args[:2]) if function is Tensor.__rmatmul__ else args[:2]
            row, column = left.dim() == 1, right.dim() == 1
            made = torch.matmul(left.unsqueeze(0) if row else left, right.unsqueeze(-1) if column else right)
            made = made.squeeze(-1) if column else made
            return made.squeeze(-1 if column else -2) if row else made
        return function(*args, **kwargs)


def _index(index: Any) -> Any:
    """Lists as tensors, which are sent along."""
    if isinstance(index, list):
        return torch.tensor(index, dtype=torch.bool if index and isinstance(index[0], bool) else torch.long)
    return tuple(_index(part) for part in index) if isinstance(index, tuple) else index


@contextlib.contextmanager
def there() -> Iterator[None]:
    """While it lasts, DEVICE can be used."""
    with _Functions(), _Mode():
        yield
