"""MC sample k is one function: the same for every point, chunk and order; and the module stays as it was."""

import copy

import pytest
import torch
from torch import nn

from autoal.errors import InvalidInput
from autoal.models import MLP, SmallCNN, mc_dropout

X = torch.randn(21, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def spatial(dropout):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), dropout, nn.Flatten(), nn.Linear(6 * 36, 4), nn.Dropout(0.3)
    )


def flat(*layers):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), *layers)


class Twice(nn.Module):
    """Uses one dropout layer at two places."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.drop = nn.Linear(64, 12), nn.Linear(12, 4), nn.Dropout(0.5)

    def forward(self, x):
        return self.second(self.drop(self.first(self.drop(x.flatten(1)))))


NETS = {
    "mlp": MLP(64, 4),
    "cnn": SmallCNN(1, 4, width=4),
    "alpha": flat(nn.AlphaDropout(0.4), nn.Linear(12, 4)),
    "dropout before relu": flat(nn.Dropout(0.5), nn.ReLU(inplace=True), nn.Linear(12, 4)),
    "in place": flat(nn.Dropout(0.5, inplace=True), nn.Linear(12, 4)),
    "no bias": flat(nn.Dropout(0.5), nn.Linear(12, 4, bias=False)),
    "two": flat(nn.Dropout(0.2), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4)),
    "twice": Twice(),
    "channels": spatial(nn.Dropout2d(0.5)),
    "feature alpha": spatial(nn.FeatureAlphaDropout(0.5)),
    "pixels": spatial(nn.Dropout(0.5)),
    "1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 5, 3), nn.Dropout1d(0.5), nn.Flatten(), nn.Linear(5 * 62, 4)),
    "3d": nn.Sequential(
        nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 5, (1, 3, 3)), nn.Dropout3d(0.5), nn.Flatten(), nn.Linear(180, 4)
    ),
}


def sampled(net, x, chunk=None, seed=7, n_samples=6):
    with mc_dropout(net, n_samples, seed) as sampler:
        parts = []
        for part in x.split(chunk or len(x)):
            sampler.trace(part)
            parts.append(sampler.samples())
    return torch.cat(parts)


@pytest.mark.parametrize("name", NETS)
def test_samples_are_the_same_in_any_chunks_and_order(name):
    net = NETS[name]
    whole = sampled(net, X)
    assert whole.shape == (21, 6, 4)
    torch.testing.assert_close(sampled(net, X, chunk=3), whole, rtol=1e-5, atol=1e-6)
    order = torch.randperm(21, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sampled(net, X[order], chunk=5), whole[order], rtol=1e-5, atol=1e-6)
    assert torch.equal(sampled(net, X), whole)
    assert not torch.allclose(sampled(net, X, seed=8), whole)
    assert not torch.allclose(whole[:, 0], whole[:, 1])


def test_equal_points_get_equal_samples():
    for net in NETS.values():
        x = X[:1].expand(9, -1, -1, -1).contiguous()
        samples = sampled(net, x)
        torch.testing.assert_close(samples, samples[:1].expand(9, -1, -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "cnn", "alpha", "in place", "no bias"])
def test_the_short_cut_through_the_head_gives_what_whole_passes_give(name):
    with mc_dropout(NETS[name], 6, 7) as sampler:
        sampler.trace(X)
        assert sampler._masked_head() is not None
        short = sampler.samples()
        sampler._masked_head = lambda: None
        torch.testing.assert_close(sampler.samples(), short, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["dropout before relu", "two", "twice", "channels", "pixels", "1d"])
def test_the_short_cut_is_not_taken_where_something_lies_between(name):
    with mc_dropout(NETS[name], 6, 7) as sampler:
        sampler.trace(X)
        assert sampler._masked_head() is None


@pytest.mark.parametrize("name", NETS)
def test_the_module_is_left_as_it_was(name):
    net = copy.deepcopy(NETS[name]).train()
    list(net.modules())[-1].eval()  # a user may have frozen one part only
    modes = [part.training for part in net.modules()]
    before = copy.deepcopy(net.state_dict())
    sampled(net, X)
    with pytest.raises(ZeroDivisionError), mc_dropout(net, 2, 0) as sampler:
        sampler.trace(X)
        raise ZeroDivisionError
    assert [part.training for part in net.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def test_nothing_to_drop_gives_the_module_itself():
    net = MLP(64, 4, dropout=0.0).eval()
    with torch.no_grad():
        assert torch.equal(sampled(net, X), net(X)[:, None].expand(-1, 6, -1))


def test_tracing_gives_the_deterministic_output():
    for net in NETS.values():
        with mc_dropout(net, 2, 0) as sampler, torch.no_grad():
            logits = sampler.trace(X)
        net.eval()
        with torch.no_grad():
            torch.testing.assert_close(logits, net(X), rtol=1e-6, atol=1e-6)


def test_the_mean_over_many_samples_of_a_linear_head_is_the_deterministic_output():
    net = MLP(64, 4, dropout=0.3).eval()
    with torch.no_grad():
        torch.testing.assert_close(sampled(net, X, n_samples=20_000).mean(1), net(X), rtol=0.05, atol=0.02)


def test_alpha_dropout_keeps_mean_and_variance():
    net = nn.Sequential(nn.AlphaDropout(0.4))
    x = torch.randn(2000, 50, generator=torch.Generator().manual_seed(0))
    samples = sampled(net, x, n_samples=40)
    assert abs(samples.mean()) < 0.05 and abs(samples.std() - 1) < 0.05


def test_whole_channels_are_dropped():
    net = nn.Sequential(nn.Dropout2d(0.5))
    with mc_dropout(net, 6, 0) as sampler:
        sampler.trace(torch.ones(3, 10, 4, 4))
        samples = sampler.samples()
    assert set(samples.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(samples.amin((3, 4)), samples.amax((3, 4)))


def test_global_generators_neither_matter_nor_move():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = sampled(NETS["mlp"], X)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(100)
    assert torch.equal(first, sampled(NETS["mlp"], X))


def test_points_that_are_not_on_the_first_axis_are_refused():
    class SequenceFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.drop(x[:, 0].transpose(0, 1)).mean(0))

    with mc_dropout(SequenceFirst(), 2, 0) as sampler, pytest.raises(InvalidInput, match="batch_first"):
        sampler.trace(X)
        sampler.samples()


def test_at_least_one_sample():
    with pytest.raises(InvalidInput, match="n_samples=0"), mc_dropout(NETS["mlp"], 0, 0):
        pass
