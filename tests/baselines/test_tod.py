"""TOD: its discrepancy and its unsupervised term by hand, and a network that goes on from round to round."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autoal.errors import InvalidInput, UnknownName
from baselines._training import descend, stream, supervised_loss
from baselines.tod import TOD, TwoHeads, consistency, discrepancy, follow, memory_of
from tests.selectors.rounds import ModelWorld

SHORT = {"device": "cpu", "max_steps": 10, "batch_size": 16}


def test_the_discrepancy_by_hand():
    one, other = torch.tensor([[1.0, 0.0], [0.7, 0.3], [0.2, 0.8]]), torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.2, 0.8]])
    assert discrepancy(one, other).tolist() == pytest.approx([1.0, 0.04, 0.0])
    assert torch.equal(discrepancy(one, other), discrepancy(other, one))


def test_the_unsupervised_term_by_hand():
    first, second = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[0.0, 4.0]], requires_grad=True)
    teacher = torch.tensor([[2.0, 2.0]], requires_grad=True)
    # (1 + 4) / 2 between the heads, (4 + 4) / 2 from the teacher; with one head (1 + 0) / 2.
    both = consistency(first, second, teacher, 2)
    assert float(both.detach()) == pytest.approx(2.5 + 4.0)
    assert float(consistency(first, second, teacher, 1).detach()) == pytest.approx(0.5)
    both.backward()
    assert teacher.grad is None and first.grad.tolist() == [[1.0, -2.0]]
    assert second.grad.tolist() == [[-1.0 - 2.0, 2.0 + 2.0]]


def test_the_teacher_is_the_mean_of_its_student_until_its_memory_is_full():
    assert [memory_of(step) for step in (1, 2, 999, 5000)] == pytest.approx([1 / 2, 2 / 3, 0.999, 0.999])
    teacher, student = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    teacher.weight.data.fill_(8.0)
    for step, value in enumerate((2.0, 2.0, 4.0), start=1):
        student.weight.data.fill_(value)
        follow(teacher, student, step)
    assert float(teacher.weight.detach()) == pytest.approx((8 + 2 + 2 + 4) / 4)


def test_without_weight_it_is_training_on_the_labels_alone():
    world = ModelWorld()
    selector = TOD(**SHORT, weight=0.0)
    problem = selector._problem(world.state(0, world.labeled), 1)

    def start() -> TwoHeads:
        torch.manual_seed(0)
        return TwoHeads(selector._network(problem))

    net = start()
    selector._network(problem)  # the teacher's own draws
    batches = stream(12, 16, problem.draws("batches"))

    def loss_of(step: int) -> torch.Tensor:
        rows = next(batches)
        return supervised_loss(net(problem.labeled[rows])[0], problem.labels[rows]).mean()

    net.train()
    descend(net.parameters(), loss_of, 10, 1e-3, "alone")
    torch.manual_seed(0)
    cycle = selector._trained(problem, None)
    assert torch.equal(net.net.head.weight, cycle.student.net.head.weight)


def two_rounds(selector: TOD, world: ModelWorld):
    first = selector.select(world.state(0, world.labeled), 5)
    labeled = world.labeled.clone()
    state = world.state(0, labeled)
    labeled[state.pool_ids[first.positions] - 100] = True
    state = world.state(1, labeled)
    return first, selector.select(state, 5), state


def test_the_second_round_asks_where_the_network_differs_from_the_one_before():
    selector = TOD(**SHORT)
    first, second, state = two_rounds(selector, ModelWorld())
    assert first.diagnostics["compared"] is False and second.diagnostics["compared"] is True
    assert second.diagnostics["steps"] == 20
    x = selector._problem(state, 0).pool[:]
    with torch.no_grad():
        before, now = (selector._cycles[0, round].student.net.eval()(x).softmax(1) for round in (0, 1))
    wanted = ((now - before) ** 2).sum(dim=1) / 2
    assert torch.allclose(second.utilities, wanted.double(), atol=1e-6)
    assert set(second.positions.tolist()) == set(wanted.topk(5).indices.tolist())


def test_the_network_goes_on_from_its_weights_of_the_round_before():
    def moved(warm: bool) -> float:
        selector = TOD(**SHORT, warm_start=warm, lr=1e-5)
        two_rounds(selector, ModelWorld())
        one, other = (selector._cycles[0, round].student.net.head.weight for round in (0, 1))
        return float((one - other).abs().max())

    assert moved(True) < 1e-3 < moved(False)


def test_networks_of_rounds_before_a_stop_are_made_again():
    """What it keeps is what it asked for, also where the annotator rejected some of that."""
    world = ModelWorld()
    selector, fresh = TOD(**SHORT), TOD(**SHORT)
    _, second, state = two_rounds(selector, world)
    labeled = torch.zeros(48, dtype=torch.bool).index_fill(0, state.labeled_indices, True)
    labeled[state.pool_indices[second.positions[:3]]] = True
    gone = state.pool_indices[second.positions[3:]]
    state = world.state(2, labeled)
    left = ~torch.isin(state.pool_indices, gone)
    state = replace(
        state,
        view=replace(state.view, pool=state.view.pool[left]),
        pool_ids=state.pool_ids[left],
        pool_indices=state.pool_indices[left],
    )
    fresh.load_state_dict(selector.state_dict())
    assert torch.equal(selector.select(state, 5).utilities, fresh.select(state, 5).utilities)


def test_a_run_that_begins_again_has_no_past():
    selector, world = TOD(**SHORT), ModelWorld()
    two_rounds(selector, world)
    assert selector.select(world.state(1, world.labeled), 5).diagnostics["compared"] is False


def test_the_first_round_can_ask_by_entropy_and_a_part_of_the_pool_be_scored():
    world = ModelWorld()
    answer = TOD(**SHORT, first="entropy", subset=8).select(world.state(0, world.labeled), 5)
    assert int((answer.utilities >= 0).sum()) == 8 and bool((answer.utilities[answer.positions] > 0).all())


def test_a_regression_compares_means_in_deviations_of_the_labels():
    def scores(scale: float) -> torch.Tensor:
        world = ModelWorld(classes=0)
        world.truth *= scale
        return two_rounds(TOD(**SHORT), world)[1].utilities

    assert torch.allclose(scores(1.0), scores(4.0), rtol=1e-4)
    world = ModelWorld(classes=0)
    with pytest.raises(InvalidInput, match="needs classes"):
        TOD(**SHORT, first="entropy").select(world.state(0, world.labeled), 5)


def test_what_it_cannot_do_is_said():
    with pytest.raises(InvalidInput, match="heads=3"):
        TOD(heads=3)
    with pytest.raises(UnknownName, match="'entropy'"):
        TOD(first="entropi")
    with pytest.raises(InvalidInput, match="subset=0"):
        TOD(subset=0)
