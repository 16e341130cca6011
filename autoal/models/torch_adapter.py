"""A torch module as a model: trained from the same start each round, looked at without being changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoal import rng
from autoal.compute import CHUNK_BYTES, chunks, resolve_device, steady
from autoal.data.batches import Parts
from autoal.data.faces import ENCODED, FIRST, NUMBERS
from autoal.data.notes import Quiet
from autoal.data.rows import Rows, check_finite
from autoal.errors import AutoALError, InvalidInput, MissingOutput, NotFitted
from autoal.models.base import Progress
from autoal.models.dropout import DropoutSampler, active_dropouts, mc_dropout
from autoal.models.ensembles import Repulsion, train_members, training_inputs
from autoal.models.evaluating import Embedder, LastLinearInput, last_linear_input
from autoal.models.forward import arranged, cast, widened
from autoal.models.gathered import Gathered
from autoal.models.gradients import GradientSketch, gradient_norms
from autoal.models.laplace import sampled_outputs
from autoal.models.perturbation import NOISES, deviations
from autoal.models.posterior import POSTERIORS, Posterior, head_draws, head_weights
from autoal.models.standalone import Standalone
from autoal.models.standardise import Standardise
from autoal.models.targets import TargetScale, check_labels, fields_of
from autoal.models.training import TrainConfig, train
from autoal.outputs import ModelOutputs

__all__ = ["TorchModel"]

_BY_GRADIENTS = frozenset({"gradients", "gradient_norms"})
_BY_MEMBERS = frozenset({"ensemble_log_probs", "greedy_log_probs"})
WIDENED = "them with real numbers in its own precision and small whole numbers as int64"
"""What a network gets where it refuses the numbers of the size that they came in."""
_ACTIVATIONS = 64
"""Rough size of the activations of a network, in multiples of its input; only chunk sizes depend on it."""


class TorchModel:
    """ModelAdapter of an nn.Module, or of a function without arguments that makes one.

    - A module: its weights at this moment are the start of every training, whatever the seed, and the object itself
      is not touched, unless `inplace=True`: then it is the one that is trained. (Pretrained weights work this way.)
    - A function: called before each training with generators seeded from the seed, so weights depend on the seed.
    - `fit=False`: the module is used as it is, and `fit` only checks it.

    `forward` gets rows as they are: a tensor, the parts of tuple items by position, of dict items by keyword, whole
    numbers as whole numbers. Where it refuses them it gets `Rows.take` (float32; pictures with channels first, in
    [0, 1]), and `notes` says so. `normalise` standardises those by the mean and deviation of the training rows, per
    channel or column, as the networks of this package want it. Embeddings are the module's own `embed(x)`, else the
    input of the last nn.Linear a forward pass goes through. MC samples are there where the module has a dropout layer
    with p > 0. Outputs may be logits (n, C), a tuple that begins with them, or an object with `.logits`.

    `fit` with 0 classes is a regression: the module has one output, (n, 1) or (n,), trained by mean squared error on
    targets of mean 0 and deviation 1; `means` are in units of the targets again. With `fit=False` it is taken to
    predict in those units itself.

    Options of what is computed only where a candidate asks for it:

    - `posterior`, what the samples `mc_log_probs` and `mc_means` are: `dropout` masks, draws of the last layer
      (`laplace`), the members of an `ensemble` or of a `greedy` one, `none`; `auto` is dropout where there is any,
      else laplace where there are embeddings. Laplace takes the module's own last layer as the mode where that layer
      makes its outputs of the embeddings, else it fits one; in a regression it is exact Bayesian linear regression.
    - `members` networks in an ensemble, trained when first asked for and kept until the next `fit`. A module given as
      such (not as a function) is the start of each, so they differ by their batches and dropout only.
      `greedy_strength` is how strongly they repel each other (0.001 to 10; 3 was best for PreResNet164).
    - `noise_samples`, `noise_scale` and `noise_variant` (`layerwise`, `global`) of `deviations`.
    - `gradient_width`: P of `gradients`, to which all linear layers and 2-d convolutions count; `gradient_norms` counts
      every trainable parameter.
    """

    def __init__(
        self,
        module: nn.Module | Callable[[], nn.Module],
        *,
        config: TrainConfig | None = None,
        device: str | torch.device = "auto",
        mc_samples: int = 10,
        fit: bool = True,
        normalise: bool = False,
        inplace: bool = False,
        posterior: Posterior = "auto",
        members: int = 5,
        greedy_strength: float = 3.0,
        noise_samples: int = 30,
        noise_scale: float = 1e-3,
        noise_variant: Literal["layerwise", "global"] = "layerwise",
        gradient_width: int = 512,
        progress: Progress | None = None,
    ) -> None:
        if not isinstance(module, nn.Module) and (not fit or inplace):
            raise InvalidInput("fit=False and inplace=True need an nn.Module, not a function that makes one")
        if mc_samples < 1:
            raise InvalidInput(f"got mc_samples={mc_samples}; wanted 1 or more")
        if posterior not in POSTERIORS or members < 1 or greedy_strength < 0 or gradient_width < 1:
            raise InvalidInput(
                f"got posterior={posterior!r}, members={members}, greedy_strength={greedy_strength}, "
                f"gradient_width={gradient_width}; wanted one of {POSTERIORS}, 1 or more, 0 or more, 1 or more"
            )
        if noise_samples < 1 or not noise_scale > 0 or noise_variant not in NOISES:
            raise InvalidInput(
                f"got noise_samples={noise_samples}, noise_scale={noise_scale}, noise_variant={noise_variant!r}; "
                f"wanted 1 or more, more than 0, one of {NOISES}"
            )
        self.posterior, self.members, self.greedy_strength = posterior, members, greedy_strength
        self.noise_samples, self.noise_scale, self.noise_variant = noise_samples, noise_scale, noise_variant
        self.gradient_width = gradient_width
        self._fitted_on: tuple[Rows, Tensor, Tensor, int] | None = None
        self._ensembles: dict[str, list[nn.Module]] = {}
        self.config = config or TrainConfig()
        self.device, self.mc_samples, self.trains, self.progress = device, mc_samples, fit, progress
        self.normalise = normalise
        self._form, self._widens = NUMBERS, False
        self.notes: list[str] = []
        """What the latest `fit` had to do that the user may not expect, one sentence each."""
        self.module: nn.Module | None = None
        """The module the latest `fit` left, in evaluation mode; None before."""
        self._source, self._inplace = module, inplace
        self._start = copy.deepcopy(module) if isinstance(module, nn.Module) and fit else None
        self._scale: Standardise | None = None
        self._num_classes: int | None = None  # of the latest fit
        self._targets = TargetScale()
        self._sample: nn.Module | None = None
        self._parted = False

    @property
    def provides(self) -> frozenset[str]:
        module = self.module or self._example()
        given = {"log_probs", "means", "logits", "inputs"}
        if callable(getattr(module, "embed", None)) or any(isinstance(part, nn.Linear) for part in module.modules()):
            given |= {"embeddings"}
        if self._sampler(module) != "none":
            given |= {"mc_log_probs", "mc_means"}
        if self.trains:
            given |= {"ensemble_log_probs", "greedy_log_probs"}
        if any(weight.requires_grad for weight in module.parameters()):
            given |= {"gradient_norms"} | ({"deviations"} if self._num_classes != 0 or "embeddings" in given else set())
        if any(isinstance(part, (nn.Linear, nn.Conv2d)) for part in module.modules()):
            given.add("gradients")
        if self._form != NUMBERS:
            given -= {"inputs", "greedy_log_probs"} | (_BY_GRADIENTS if self._parted else set())
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
        check_finite(rows)
        self._choose_form(module, rows, indices[:2], num_classes, device)
        self._ensembles, self._targets = {}, TargetScale()
        self._fitted_on = (rows, indices, labels, seed)
        if self.trains:
            if num_classes == 0:
                self._targets = TargetScale.of(labels)
                labels = self._targets.standardised(labels)
            with steady(module, device):
                train(
                    module,
                    rows,
                    indices,
                    labels,
                    self.config,
                    seed,
                    device,
                    self.progress,
                    self._scale,
                    read=self._read,
                )
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
        with steady(module, device):
            sampler = self._sampler(module)
            samples = needs & {"mc_log_probs", "mc_means"}
            direct = needs - _BY_MEMBERS if sampler == "dropout" else needs - _BY_MEMBERS - samples
            slopes = direct & _BY_GRADIENTS
            found = self._streamed(module, rows, indices, direct - slopes, seed, device) if direct - slopes else {}
            if slopes:
                found |= self._by_gradients(module, rows, indices, slopes, seed, device)
            for name in samples - direct:
                found[name] = self._posterior_samples(module, sampler, rows, indices, seed, device)
            for name, kind in (("ensemble_log_probs", "ensemble"), ("greedy_log_probs", "greedy")):
                if name in needs:
                    found[name] = self._member_samples(kind, rows, indices, device)
        return ModelOutputs(**found)

    def _sampler(self, module: nn.Module) -> str:
        """What samples are drawn from: `posterior`, or what `auto` stands for; `none` where there is nothing."""
        has = {
            "dropout": bool(active_dropouts(module)),
            "laplace": callable(getattr(module, "embed", None))
            or any(isinstance(part, nn.Linear) for part in module.modules()),
            "ensemble": self.trains,
            "greedy": self.trains,
        }
        chosen = ("dropout", "laplace") if self.posterior == "auto" else (self.posterior,)
        return next((name for name in chosen if has.get(name)), "none")

    def _posterior_samples(
        self, module: nn.Module, sampler: str, rows: Rows, indices: Tensor, seed: int, device: torch.device
    ) -> Tensor:
        """(n, K, C) log probabilities, or (n, K) targets."""
        if sampler in ("ensemble", "greedy"):
            return self._member_samples(sampler, rows, indices, device)
        if self._fitted_on is None:
            raise NotFitted("samples of the last layer need labeled points; call fit first, also with fit=False")
        known, at, labels, _ = self._fitted_on
        classes = self._num_classes or 0
        wanted = frozenset({"embeddings", "logits"} if classes else {"embeddings"})
        seen = self._streamed(module, known, at, wanted, seed, device)
        mode = head_weights(module, seen["embeddings"], seen["logits"]) if classes else None
        weights, scale = head_draws(seen["embeddings"], labels, classes, self.mc_samples, seed, mode)
        features = self._streamed(module, rows, indices, frozenset({"embeddings"}), seed, device)["embeddings"]
        parts = []
        for part in chunks(len(features), 16.0 * (self.mc_samples * max(1, classes) + features.shape[1])):
            outputs = sampled_outputs(features[part], weights)
            parts.append(F.log_softmax(outputs, dim=-1).float() if classes else scale.undone(outputs[..., 0]))
        return torch.cat(parts)

    def _member_samples(self, kind: str, rows: Rows, indices: Tensor, device: torch.device) -> Tensor:
        """(n, M, C) log probabilities, or (n, M) targets, of the members; trains them where that was not done yet."""
        field = "log_probs" if self._num_classes else "means"
        members = self._trained_members(kind, device)
        each = [self._streamed(m.to(device), rows, indices, frozenset({field}), 0, device)[field] for m in members]
        return torch.stack(each, dim=1)

    def _trained_members(self, kind: str, device: torch.device) -> list[nn.Module]:
        if kind not in self._ensembles:
            assert self._fitted_on is not None, "outputs refuses before fit"
            known, at, labels, seed = self._fitted_on
            labels = labels if self._num_classes else self._targets.standardised(labels)

            def make(own: int) -> nn.Module:
                if self._start is not None:
                    return copy.deepcopy(self._start).to(device)
                return self._fresh(own).to(device)

            def fit(module: nn.Module, own: int, penalty: Repulsion | None) -> None:
                train(
                    module, known, at, labels, self.config, own, device, self.progress, self._scale, penalty, self._read
                )  # fmt: skip

            repulsion = None
            if kind == "greedy":
                x = training_inputs(known, at, self._scale).to(device)
                repulsion = Repulsion(x, self.greedy_strength, seed)
            self._ensembles[kind] = train_members(self.members, make, fit, seed, repulsion)
        return self._ensembles[kind]

    def _streamed(
        self, module: nn.Module, rows: Rows, indices: Tensor, needs: frozenset[str], seed: int, device: torch.device
    ) -> dict[str, Tensor]:
        """The fields that need one look at each chunk."""
        parts = Gathered.of(needs, len(indices))
        noise = (self.noise_samples, self.noise_scale, rng.derive_seed(seed, "weights"), self.noise_variant)
        embedder = Embedder(module)
        cost = 4.0 * (_ACTIVATIONS * rows.cost + 2 * self.mc_samples * 64)
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
                if "deviations" in needs:
                    look = partial(self._looked_at, sampler, seen, embedder, x)
                    parts["deviations"].append(deviations(module, look, *noise).float())
        whole = {name: gathered.whole() for name, gathered in parts.items()}
        return {name: rows for name, rows in whole.items() if rows is not None}

    def _looked_at(self, sampler: DropoutSampler, seen: LastLinearInput, embedder: Embedder, x: Tensor) -> Tensor:
        """(n, E) probabilities, or features in a regression, of the module as its weights are now."""
        outputs = sampler.trace(x)
        if self._num_classes == 0:
            return embedder(x, seen.features(len(x)))
        return F.softmax(outputs.float(), dim=-1)

    def _by_gradients(
        self, module: nn.Module, rows: Rows, indices: Tensor, needs: frozenset[str], seed: int, device: torch.device
    ) -> dict[str, Tensor]:
        """`gradients` and `gradient_norms`, in a pass of their own, with no hooks of ours on the module."""
        regression = self._num_classes == 0
        sketch = GradientSketch(module, self.gradient_width, rng.derive_seed(seed, "sketch"), regression=regression)
        parts: dict[str, list[Tensor]] = {name: [] for name in needs}
        cost = 16.0 * (_ACTIVATIONS * rows.cost + self.gradient_width)
        with rng.isolated(rng.derive_seed(seed, "outputs")):
            for part in chunks(len(indices), cost, CHUNK_BYTES * (8 if device.type == "cuda" else 1)):
                x = self._inputs(module, rows, indices[part], device)
                if "gradients" in needs:
                    parts["gradients"].append(sketch(x) * self._targets.std)
                if "gradient_norms" in needs:
                    parts["gradient_norms"].append(gradient_norms(module, x))
        return {name: torch.cat(tensors) for name, tensors in parts.items()}

    def predict_log_probs(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n, C) float32 log probabilities on the CPU."""
        device = _device_of(self.module) if self.module is not None else resolve_device(self.device)
        return self.outputs(rows, indices, frozenset({"log_probs"}), seed=0, device=device).require("log_probs").cpu()

    def predict_means(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n,) float32 predicted targets on the CPU."""
        device = _device_of(self.module) if self.module is not None else resolve_device(self.device)
        return self.outputs(rows, indices, frozenset({"means"}), seed=0, device=device).require("means").cpu()

    def standalone(self) -> nn.Module:
        """The trained module in evaluation mode, for use without this adapter: where training standardised inputs or
        targets, a module that does the same around it. Raises NotFitted before `fit`."""
        if self.module is None:
            raise NotFitted("the model has not been fitted; call fit first")
        if self._scale is None and self._targets == TargetScale():
            return self.module
        return Standalone(self.module, self._scale, self._targets).eval()

    def inputs(self, rows: Rows, indices: Tensor) -> Tensor:
        """(n, ...) rows[indices] as they enter `module`, on its device. Raises NotFitted before `fit`."""
        if self.module is None:
            raise NotFitted("the model has not been fitted; call fit first")
        return self._inputs(self.module, rows, indices, _device_of(self.module))

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
        try:
            module = self._source()
        except Exception as error:
            raise InvalidInput(f"the model function fails: {type(error).__name__}: {error}") from error
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

    def _inputs(self, module: nn.Module, rows: Rows, indices: Tensor, device: torch.device) -> Any:
        x = (rows.take(indices) if self._form == NUMBERS else self._arranged(module, rows, indices)).to(device)
        x = x if self._scale is None else self._scale(x)
        return cast(x, _dtype_of(module))

    def _arranged(self, module: nn.Module, rows: Rows, indices: Tensor) -> Any:
        made = arranged(module, rows.net_form(self._form, indices))[0]
        return widened(made, _dtype_of(module)) if self._widens else made

    @property
    def _read(self) -> Callable[[Tensor], Any] | None:
        """Rows of the latest `fit` as they enter the module; None where those are `rows.take`."""
        if self._form == NUMBERS or self._fitted_on is None:
            return None
        rows, module = self._fitted_on[0], self._example()
        return lambda indices: self._arranged(module, rows, indices)

    def _choose_form(
        self, module: nn.Module, rows: Rows, indices: Tensor, num_classes: int, device: torch.device
    ) -> None:
        """The first of the forms of the rows that `forward` takes, each as it is and then with numbers of the usual
        sizes; raises InvalidInput where it takes none."""
        self.notes, self._parted = [], False
        refused: InvalidInput | None = None
        what = type(module).__name__
        forms = [(name, widens) for name in rows.net_forms for widens in (False, True) if name != NUMBERS]
        for name, widens in [*([] if self.normalise else forms), (NUMBERS, False)]:
            self._form, self._widens = name, widens
            left_out = None
            try:
                if name != NUMBERS:
                    made, left_out = arranged(module, rows.net_form(name, indices))
                    self._parted = isinstance(made, Parts)
                self._check_outputs(module, rows, indices, num_classes, device)
            except (InvalidInput, TypeError, RuntimeError, ValueError) as error:
                wrapped = error if isinstance(error, InvalidInput) else InvalidInput(str(error))
                refused = refused or wrapped
                self._parted = False
                continue
            got = rows.taken_as if name == NUMBERS and rows.taken_as else name
            got = WIDENED if widens and name != FIRST else got
            quiet = got in (ENCODED, WIDENED) or (got == NUMBERS and rows.kind != "any")
            if refused is not None:
                note = f"{what}.forward refuses the rows as they were given, and got {got}"
                self.notes.append(Quiet(note) if quiet else note)
            elif got in (ENCODED, FIRST):
                note = f"{what}.forward got {got}"
                self.notes.append(Quiet(note) if quiet else note)
            if left_out is not None:
                self.notes.append(left_out)
            return
        assert refused is not None
        raise refused

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
                f"the module {type(module).__name__} fails on inputs of {_shape(x)}: {error}; wanted "
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


def _shape(x: Any) -> str:
    if isinstance(x, Parts):
        names = list(x.values) if isinstance(x.values, dict) else range(len(x.values))
        return f"the parts {list(names)}"
    return f"shape {tuple(x.shape)}"


def _one_column(outputs: Tensor, n: int) -> Tensor:
    if outputs.numel() != n:
        raise MissingOutput(f"the module gives outputs of shape {tuple(outputs.shape)}, no one number for each point")
    return outputs.reshape(n)


def _dtype_of(module: nn.Module) -> torch.dtype:
    return next((weight.dtype for weight in module.parameters() if weight.is_floating_point()), torch.float32)


def _device_of(module: nn.Module) -> torch.device:
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")
