"""The work that is compared: its operations and bytes, and who makes it."""

import numpy as np
import pytest

from xpnet.bench.work import Case, Workload, XpnetWorker


def test_the_operations_of_a_step_are_those_of_its_formula_by_hand():
    case = Case("TwoLayerNet", width=50, batch=100)
    forward = 2 * 100 * 784 * 50 + 2 * 100 * 50 * 10
    assert case.inference_cost().flops == forward
    weights, inputs_of_the_second = forward, 2 * 100 * 50 * 10
    assert case.training_cost().flops == forward + weights + inputs_of_the_second


@pytest.mark.parametrize("network", ["TwoLayerNet", "ThreeLayerNet"])
def test_the_formula_counts_the_matrix_products_that_are_made(monkeypatch, network):
    case = Case(network, width=6, batch=5)
    worker, matmul, made = XpnetWorker(Workload.of(case, 0), "numpy"), np.matmul, []

    def counted(a, b, **options):
        made.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return matmul(a, b, **options)

    monkeypatch.setattr(np, "matmul", counted)
    worker.predict(1)
    assert sum(made) == case.inference_cost().flops
    made.clear()
    worker.trainer.runner.step().run(worker.trainer.t_train[:5] % 2)
    assert sum(made) == case.training_cost().flops


def test_the_bytes_of_a_step_by_hand():
    case = Case("TwoLayerNet", width=1, batch=1)
    first, second, relu = 784 + 784 + 1 + 1, 1 + 10 + 10 + 10, 2
    assert case.inference_cost().bytes == 784 + 4 * (784 + first + second + relu)
    gradients = first + second + (10 + 10 + 1 + 3)
    update = 3 * (784 + 1 + 10 + 10)
    assert case.training_cost().bytes == case.inference_cost().bytes + 4 * (gradients + update)
