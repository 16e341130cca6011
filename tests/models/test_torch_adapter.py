"""Torch modules as models: trained from the same start, looked at without a trace."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from autoal import compute
from autoal.data import as_rows
from autoal.errors import InvalidInput, MissingOutput, NotFitted
from autoal.models import MLP, SmallCNN, TorchModel, TrainConfig, default_net

CPU = torch.device("cpu")
QUICK = TrainConfig(epochs=2, min_steps=0)
ALL = frozenset({"log_probs", "embeddings", "mc_log_probs"})
LABELED = torch.arange(0, 40, 2)


def data(images=False):
    generator = np.random.RandomState(0)
    y = torch.from_numpy(np.arange(40) // 2 % 3)
    X = generator.rand(40, 64) * 10 + 40 * y.numpy()[:, None]
    return as_rows(X.reshape(-1, 8, 8).astype(np.uint8) if images else X), y


def fitted(source=None, *, images=False, seed=0, **options):
    rows, y = data(images)
    model = TorchModel(source or partial(default_net, rows.row_shape, 3), config=QUICK, device="cpu", **options)
    model.fit(rows, LABELED, y[LABELED], 3, seed=seed)
    return model, rows


def everything(model, rows, indices=None, seed=3, needs=ALL):
    return model.outputs(rows, torch.arange(40) if indices is None else indices, needs, seed=seed, device=CPU)


@pytest.mark.parametrize("images", [False, True])
def test_outputs_have_their_shapes_and_are_probabilities(images):
    model, rows = fitted(images=images)
    out = everything(model, rows)
    assert model.provides >= out.present() == ALL and not model.provides & {"means", "mc_means"}
    assert out.log_probs.shape == (40, 3) and out.mc_log_probs.shape == (40, 10, 3)
    assert out.embeddings.shape == (40, 128 if images else 64)
    for name in ALL:
        assert out.require(name).dtype == torch.float32
    torch.testing.assert_close(out.log_probs.exp().sum(1), torch.ones(40))
    torch.testing.assert_close(out.mc_log_probs.exp().sum(2), torch.ones(40, 10))
    assert torch.equal(model.predict_log_probs(rows, torch.arange(40)), out.log_probs)
    with torch.no_grad():  # embeddings are what the head reads
        torch.testing.assert_close(model.module.head(out.embeddings).log_softmax(1), out.log_probs)


def test_only_what_is_needed_is_computed():
    model, rows = fitted()
    assert everything(model, rows, needs=frozenset({"embeddings"})).present() == {"embeddings"}


@pytest.mark.parametrize("images", [False, True])
def test_same_seed_same_outputs_whatever_was_drawn_before(images):
    first, rows = fitted(images=images)
    a = everything(first, rows)
    torch.manual_seed(123), torch.rand(50), np.random.rand(3)
    state = torch.get_rng_state()
    b = everything(fitted(images=images)[0], rows)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a.require(name), b.require(name)) for name in ALL)
    c = everything(fitted(images=images, seed=1)[0], rows)
    assert not torch.equal(a.log_probs, c.log_probs)
    assert not torch.equal(a.mc_log_probs, everything(first, rows, seed=4).mc_log_probs)
    assert torch.equal(a.log_probs, everything(first, rows, seed=4).log_probs)


@pytest.mark.parametrize("images", [False, True])
def test_outputs_do_not_depend_on_chunks_order_or_company(images, monkeypatch):
    model, rows = fitted(images=images)
    whole = everything(model, rows)
    picks = torch.tensor([7, 3, 3, 39, 0])
    monkeypatch.setattr(compute, "CHUNK_BYTES", 1)
    monkeypatch.setattr("autoal.models.torch_adapter.CHUNK_BYTES", 100_000)
    few = everything(model, rows, picks)
    for name in ALL:
        torch.testing.assert_close(few.require(name), whole.require(name)[picks], rtol=1e-5, atol=1e-5)


def test_outputs_leave_module_and_buffers_as_they_were():
    model, rows = fitted(images=True)
    model.module.train()
    model.module.blocks[0].eval()
    modes = [part.training for part in model.module.modules()]
    before = copy.deepcopy(model.module.state_dict())
    everything(model, rows)
    assert [part.training for part in model.module.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())


def test_a_given_module_is_not_touched_and_starts_every_training():
    net = SmallCNN(1, 3, width=4)
    before = copy.deepcopy(net.state_dict())
    model, rows = fitted(net, images=True)
    once = everything(model, rows)
    _, y = data()
    model.fit(rows, LABELED, y[LABELED], 3, seed=0)
    assert torch.equal(everything(model, rows).log_probs, once.log_probs)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert net.training and model.module is not net


def test_in_place_trains_the_users_own_module_from_the_same_start():
    net = MLP(64, 3)
    copied, rows = fitted(copy.deepcopy(net))
    model, _ = fitted(net, inplace=True)
    _, y = data()
    model.fit(rows, LABELED, y[LABELED], 3, seed=0)
    assert model.module is net
    assert torch.equal(everything(model, rows).log_probs, everything(copied, rows).log_probs)


def test_without_fitting_the_module_is_used_as_it_is():
    net = MLP(64, 3)
    rows, y = data()
    model = TorchModel(net, fit=False, device="cpu")
    x = rows.take(slice(0, 40))
    with torch.no_grad():
        wanted = net.eval()(x).log_softmax(1)
    assert torch.equal(everything(model, rows).log_probs, wanted)
    model.fit(rows, LABELED, y[LABELED], 3, seed=0)
    assert torch.equal(everything(model, rows).log_probs, wanted)
    net.train()
    everything(model, rows)
    assert net.training


def test_dropout_that_drops_nothing_gives_no_samples():
    model, rows = fitted(lambda: MLP(64, 3, dropout=0.0), posterior="dropout")
    assert "mc_log_probs" not in model.provides
    with pytest.raises(MissingOutput, match="mc_log_probs"):
        everything(model, rows)


class Own(nn.Module):
    """A module with features of its own."""

    def __init__(self, extra):
        super().__init__()
        self.body, self.head, self.drop, self.extra = nn.Linear(64, 5), nn.Linear(5, 3), nn.Dropout(0.5), extra

    def embed(self, x):
        features = torch.relu(self.body(x))
        return torch.cat([features, features], dim=1) if self.extra else features

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.body(x))))


@pytest.mark.parametrize("extra", [False, True])
def test_the_modules_own_embed_is_used(extra, monkeypatch):
    monkeypatch.setattr("autoal.models.torch_adapter.CHUNK_BYTES", 200_000)
    model, rows = fitted(partial(Own, extra))
    out = everything(model, rows)
    x = rows.take(slice(0, 40))
    with torch.no_grad():
        torch.testing.assert_close(out.embeddings, model.module.embed(x))
    assert out.embeddings.shape == (40, 10 if extra else 5)


def test_a_plain_module_gives_the_input_of_its_last_linear_layer():
    model, rows = fitted(lambda: nn.Sequential(nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 3)))
    out = everything(model, rows, needs=frozenset({"log_probs", "embeddings"}))
    with torch.no_grad():
        torch.testing.assert_close(model.module[2](out.embeddings).log_softmax(1), out.log_probs)
    assert not any(part._forward_pre_hooks for part in model.module.modules())


def test_a_module_without_linear_layers_has_no_embeddings():
    model, _ = fitted(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), images=True)
    assert "embeddings" not in model.provides


class Bunch(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.inner, self.form = nn.Linear(64, 3), form

    def forward(self, x):
        logits = self.inner(x)
        return (logits, x) if self.form == "tuple" else type("Out", (), {"logits": logits})()


@pytest.mark.parametrize("form", ["tuple", "object"])
def test_logits_are_found_in_what_a_module_returns(form):
    model, rows = fitted(partial(Bunch, form))
    assert everything(model, rows, needs=frozenset({"log_probs"})).log_probs.shape == (40, 3)


def test_double_precision_modules_work():
    model, rows = fitted(lambda: MLP(64, 3).double())
    assert everything(model, rows).log_probs.dtype == torch.float32


def test_permuted_rows_give_the_same_model():
    rows, y = data()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    there = as_rows(rows.take(order))
    back = torch.argsort(order)
    model, _ = fitted()
    other = TorchModel(partial(default_net, (64,), 3), config=QUICK, device="cpu")
    other.fit(there, back[LABELED], y[LABELED], 3, seed=0)
    a, b = everything(model, rows), everything(other, there, back)
    assert all(torch.equal(a.require(name), b.require(name)) for name in ALL)


def test_a_class_without_labels_still_has_a_column():
    rows, _ = data()
    model = TorchModel(lambda: MLP(64, 5), config=QUICK, device="cpu")
    model.fit(rows, LABELED, torch.arange(20) % 2, 5, seed=0)
    assert model.predict_log_probs(rows, torch.arange(3)).shape == (3, 5)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: MLP(64, 2), r"outputs of shape \(2, 2\); wanted \(2, 3\)"),
        (lambda: MLP(63, 3), r"fails on inputs of shape \(2, 64\)"),
        (lambda: nn.Flatten(0), "one output for each class"),
        (lambda: "net", "wanted an nn.Module"),
        (lambda: MLP(64, 3).requires_grad_(False), "no trainable parameters"),
    ],
)
def test_a_module_that_does_not_fit_is_refused(source, words):
    with pytest.raises(InvalidInput, match=words):
        fitted(source)


def test_outputs_before_fit_and_wrong_options_are_refused():
    rows, _ = data()
    with pytest.raises(NotFitted):
        everything(TorchModel(lambda: MLP(64, 3), device="cpu"), rows)
    with pytest.raises(InvalidInput, match=r"nn\.Module"):
        TorchModel(lambda: MLP(64, 3), fit=False)
    with pytest.raises(InvalidInput, match="mc_samples=0"):
        TorchModel(MLP(64, 3), mc_samples=0)


@pytest.mark.gpu
def test_on_cuda_outputs_stay_there_and_repeat():
    rows, y = data(images=True)
    model = TorchModel(partial(default_net, rows.row_shape, 3), config=QUICK, device="cuda")
    model.fit(rows, LABELED, y[LABELED], 3, seed=0)
    out = model.outputs(rows, torch.arange(40), ALL, seed=3, device=torch.device("cuda:0"))
    assert out.log_probs.is_cuda and model.predict_log_probs(rows, torch.arange(3)).device == CPU
    torch.testing.assert_close(everything(model, rows).mc_log_probs, out.mc_log_probs.cpu(), rtol=1e-3, atol=1e-3)
