"""The networks that come with the package."""

import pytest
import torch

from autoal.models import MLP, ResNet18, SmallCNN, default_net


@pytest.mark.parametrize(
    ("net", "shape", "stages"),
    [
        (MLP(6, 3), (6,), 2),
        (MLP(12, 3, hidden=(5,)), (3, 2, 2), 1),
        (SmallCNN(1, 3), (1, 8, 8), 3),
        (SmallCNN(4, 3, width=8), (4, 9, 31), 3),
        (ResNet18(3, 3, width=8), (3, 16, 16), 4),
    ],
)
def test_a_net_is_its_head_after_dropout_after_its_trunk(net, shape, stages):
    net.eval()
    x = torch.randn(5, *shape)
    assert net(x).shape == (5, 3)
    assert torch.equal(net(x), net.head(net.embed(x)))
    assert torch.equal(net.stages(x)[-1], net.embed(x))
    assert len(net.stages(x)) == stages and all(features.ndim == 2 for features in net.stages(x))


def test_resnet18_has_the_published_number_of_weights():
    # 11,173,962 for ten classes: He et al.'s ResNet-18 with a 3x3 stem in place of the 7x7 one
    assert sum(weight.numel() for weight in ResNet18(3, 10).parameters()) == 11_173_962


def test_the_default_net_suits_the_rows():
    assert isinstance(default_net((20,), 4), MLP)
    assert isinstance(default_net((3, 32, 32), 4), SmallCNN)
    assert isinstance(default_net((1, 4, 4), 4), MLP)
    assert isinstance(default_net((16, 7), 4), MLP)
