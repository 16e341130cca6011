"""A torch module as a model: trained from the same start each round, looked at without being changed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.compute import CHUNK_BYTES, chunks, resolve_device
from autoal.data.rows import Rows
from autoal.errors import AutoALError, InvalidInput, MissingOutput, NotFitted
from autoal.models.base import Progress
from autoal.models.dropout import active_dropouts, mc_dropout
from autoal.models.evaluating import Embedder, last_linear_input
from autoal.models.standardise import Standardise
from autoal.models.targets import TargetScale, check_labels, fields_of
from autoal.models.training import TrainConfig, train
from autoal.outputs import ModelOutputs

__all__ = ["TorchModel"]

_ACTIVATIONS = 64
"""Rough size of the activations of a network, in multiples of its input; only chunk sizes depend on it."""


class TorchModel:
    """ModelAdapter of an nn.Module, or of a function without arguments that makes one.

    - A module: its weights at this moment are the start of every training, whatever the seed, and the object itself
      is not touched, unless `inplace=True`: then it is the one that is trained. (Pretrained weights work this way.)
    - A function: called before each training with generators seeded from the seed, so weights depend on the seed.
    - `fit=False`: the module is used as it is, and `fit` only checks it.

    `normalise` standardises inputs by the mean and deviation of the training rows, per channel or column; the default
    is to do so exactly when we train. Embeddings are the module's own `embed(x)`, else the input of the last nn.Linear
    a forward pass goes through. MC samples are there where the module has a dropout layer with p > 0. Outputs may be
    logits (n, C), a tuple that begins with them, or an object with `.logits`.

    `fit` with 0 classes is a regression: the module has one output, (n, 1) or (n,), trained by mean squared error on
    targets of mean 0 and deviation 1; `means` are in units of the targets again. With `fit=False` it is taken to
    predict in those units itself.
    """

    def __init__(
        self,
        module: nn.Module | Callable[[], nn.Module],
        *,
        config: TrainConfig | None = None,
        device: str | torch.device = "auto",
        mc_samples: int = 10,
        fit: bool = True,
        normalise: bool | None = None,
        inplace: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if not isinstance(module, nn.Module) and (not fit or inplace):
            raise InvalidInput("fit=False and inplace=True need an nn.Module, not a function that makes one")
        if mc_samples < 1:
            raise InvalidInput(f"got mc_samples={mc_samples}; wanted 1 or more")
        self.config = config or TrainConfig()
        self.device, self.mc_samples, self.trains, self.progress = device, mc_samples, fit, progress
        self.normalise = fit if normalise is None else normalise
        self.module: nn.Module | None = None
        """The module the latest `fit` left, in evaluation mode; None before."""
        self._source, self._inplace = module, inplace
        self._start = copy.deepcopy(module) if isinstance(module, nn.Module) and fit else None
        self._scale: Standardise | None = None
        self._num_classes: int | None = None  # of the latest fit
        self._targets = TargetScale()
        self._sample: nn.Module | None = None

    @property
    def provides(self) -> frozenset[str]:
        module = self.module or self._example()
        given = {"log_probs", "means", "logits", "inputs"}
        if callable(getattr(module, "embed", None)) or any(isinstance(part, nn.Linear) for part in module.modules()):
            given.add("embeddings")
        if active_dropouts(module):
            given |= {"mc_log_probs", "mc_means"}
        return frozenset(given) & fields_of(self._num_classes)

    def fit(self, rows: Rows, indices: Tensor, labels: Tensor, num_classes: int, *, seed: int) -> None:
        """Trains from the start on rows[indices], as a function of `seed`.

        Raises InvalidInput where the module does not take these rows or has not `num_classes` outputs (one in a
        regression, where `num_classes` is 0), AutoALError where training diverges, DeviceUnavailable.
        """
        check_labels(labels, num_classes)
        device = resolve_device(self.device)
        module = (self._fresh(seed) if self.trains else self._as_it_is(device)).to(device)
        self._scale = Standardise.of(rows, indices) if self.normalise else None
        self._check_outputs(module, rows, indices[:2], num_classes, device)
        self._targets = TargetScale()
        if self.trains:
            if num_classes == 0:
                self._targets = TargetScale.of(labels)
                labels = self._targets.standardised(labels)
            train(module, rows, indices, labels, self.config, seed, device, self.progress, self._scale)
            module.eval()
        self.module, self._num_classes = module, num_classes

    def outputs(
        self, rows: Rows, indices: Tensor, needs: frozenset[str], *, seed: int, device: torch.device
    ) -> ModelOutputs:
        """The fields in `needs` for rows[indices] on `device`; mode, weights and buffers stay as they are.

        MC sample k is the same function for every point and every call with this `seed`. Raises MissingOutput for a
        field not in `provides`, NotFitted before `fit`.
        """
        missing = sorted(needs - self.provides)
        if missing:
            raise MissingOutput(
                f"this module cannot give {', '.join(missing)}, only {', '.join(sorted(self.provides))}"
            )
        if self.module is None and self.trains:
            raise NotFitted(
                "the model has not been trained; call fit first, or pass fit=False to use the module as it is"
            )
        module = self.module or self._as_it_is(device)
        if self._inplace or self.trains:
            module = module.to(device)
        elif _device_of(module) != device:
            module = copy.deepcopy(module).to(device)
        parts: dict[str, list[Tensor]] = {name: [] for name in needs}
        embedder = Embedder(module)
        cost = 4.0 * (_ACTIVATIONS * math.prod(rows.row_shape) + 2 * self.mc_samples * 64)
        budget = CHUNK_BYTES * (8 if device.type == "cuda" else 1)
        with (
            rng.isolated(rng.derive_seed(seed, "outputs")),
            mc_dropout(module, self.mc_samples, rng.derive_seed(seed, "masks")) as sampler,
            last_linear_input(module) as seen,
        ):
            for part in chunks(len(indices), cost, budget):
                x = self._inputs(module, rows, indices[part], device)
                logits = sampler.trace(x)
                features = seen.features(len(x))  # before the samples, which go through the same layers
                if "log_probs" in needs:
                    parts["log_probs"].append(F.log_softmax(logits.float(), dim=-1))
                if "logits" in needs:
                    parts["logits"].append(logits.float())
                if "means" in needs:
                    parts["means"].append(self._targets.undone(_one_column(logits, len(x))))
                if "inputs" in needs:
                    parts["inputs"].append(x.flatten(1).float())
                if "mc_log_probs" in needs:
                    parts["mc_log_probs"].append(F.log_softmax(sampler.samples().float(), dim=-1))
                if "mc_means" in needs:
                    samples = sampler.samples().reshape(len(x), self.mc_samples)
                    parts["mc_means"].append(self._targets.undone(samples))
                if "embeddings" in needs:
                    parts["embeddings"].append(embedder(x, features))
        return ModelOutputs(**{name: torch.cat(tensors) for name, tensors in parts.items() if tensors})

    def predict_log_probs(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n, C) float32 log probabilities on the CPU."""
        device = _device_of(self.module) if self.module is not None else resolve_device(self.device)
        return self.outputs(rows, indices, frozenset({"log_probs"}), seed=0, device=device).require("log_probs").cpu()

    def predict_means(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n,) float32 predicted targets on the CPU."""
        device = _device_of(self.module) if self.module is not None else resolve_device(self.device)
        return self.outputs(rows, indices, frozenset({"means"}), seed=0, device=device).require("means").cpu()

    def _fresh(self, seed: int) -> nn.Module:
        """A module with the weights that training starts from."""
        if self._start is None:
            with rng.isolated(rng.derive_seed(seed, "initial weights")):
                return self._made()
        if self._inplace:
            assert isinstance(self._source, nn.Module)
            self._source.load_state_dict(self._start.state_dict())
            return self._source
        return copy.deepcopy(self._start)

    def _made(self) -> nn.Module:
        module = self._source()
        if not isinstance(module, nn.Module):
            raise InvalidInput(f"the model function returned {type(module).__name__}; wanted an nn.Module")
        return module

    def _example(self) -> nn.Module:
        """A module of the right structure, whatever its weights."""
        if isinstance(self._source, nn.Module):
            return self._source
        if self._sample is None:
            with rng.isolated(0):
                self._sample = self._made()
        return self._sample

    def _as_it_is(self, device: torch.device) -> nn.Module:
        """The user's own object where it may stay where it is, else a copy."""
        assert isinstance(self._source, nn.Module)
        return self._source if self._inplace or _device_of(self._source) == device else copy.deepcopy(self._source)

    def _inputs(self, module: nn.Module, rows: Rows, indices: Tensor, device: torch.device) -> Tensor:
        x = rows.take(indices).to(device)
        x = x if self._scale is None else self._scale(x)
        dtype = next((weight.dtype for weight in module.parameters() if weight.is_floating_point()), x.dtype)
        return x.to(dtype)

    def _check_outputs(
        self, module: nn.Module, rows: Rows, indices: Tensor, num_classes: int, device: torch.device
    ) -> None:
        """Runs two rows through the module, so that a misfit is said before training and not in the middle of it."""
        x = self._inputs(module, rows, indices, device)
        try:
            with rng.isolated(0), mc_dropout(module, 1, 0) as sampler:
                logits = sampler.trace(x)
        except AutoALError:
            raise
        except Exception as error:
            raise InvalidInput(
                f"the module {type(module).__name__} fails on inputs of shape {tuple(x.shape)}: {error}; wanted "
                "a module whose forward takes (n, *row shape) and gives logits (n, C), or (n, 1) in a regression"
            ) from error
        n = len(indices)
        if num_classes == 0:
            if logits.shape not in ((n, 1), (n,)):
                raise InvalidInput(
                    f"the module {type(module).__name__} gives outputs of shape {tuple(logits.shape)}; wanted ({n}, 1) "
                    f"or ({n},) for {n} rows: one output in a regression"
                )
        elif logits.ndim != 2 or logits.shape != (n, num_classes):
            raise InvalidInput(
                f"the module {type(module).__name__} gives outputs of shape {tuple(logits.shape)}; wanted "
                f"({n}, {num_classes}) for {n} rows: one output for each class"
            )


def _one_column(outputs: Tensor, n: int) -> Tensor:
    if outputs.numel() != n:
        raise MissingOutput(f"the module gives outputs of shape {tuple(outputs.shape)}, no one number for each point")
    return outputs.reshape(n)


def _device_of(module: nn.Module) -> torch.device:
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")
