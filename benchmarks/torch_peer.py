"""PyTorch doing a `Job` (eager, compiled, or captured as a CUDA graph), and as a worker of `bench_peers`."""

import os
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np
from job import FIRST, WARM_UP, Job
from taking_turns import Run

from xpnet.bench.work import LEARNING_RATE, MINIBATCHES, Workload

__all__ = ["TorchWorker", "torch_loop"]

Step = Callable[[Any], Any]  # given the indices of a minibatch; returns its loss


def torch_loop(job: Job, mode: str = "eager", device: str = "cpu") -> Run:
    """Train as usual in PyTorch; the data are on the device as floats, the losses are fetched once per epoch.

    Parameters
    ----------
    job
        The training job.
    mode
        ``"eager"``; ``"compile"``, forward, loss and optimizer compiled with ``mode="reduce-overhead"``; ``"graph"``,
        the whole step as one CUDA graph.
    device
        ``"cpu"`` or ``"cuda"``.
    """
    torch: Any = import_module("torch")

    (x, t), (x_test, t_test) = ((torch.from_numpy(a).to(device) for a in pair) for pair in job.float_data())
    model = _model(job, x, t).to(device)
    first = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = getattr(torch.optim, job.optimizer)(model.parameters(), lr=job.lr)
    step = _MODES[mode](model, optimizer, job.batch)

    def begin_anew() -> None:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), first, strict=True):
                parameter.copy_(value)
        optimizer.state.clear()
        _wait(device)

    def trained(iterations: int) -> tuple[list[float], float]:
        begin_anew()
        history: list[float] = []
        begun = time.perf_counter()
        for block in job.blocks(len(x)):
            order = torch.from_numpy(block[: iterations - len(history)]).to(device)
            losses = [step(indices) for indices in order]
            history += torch.stack(losses).tolist()
            if len(history) >= iterations:
                break
        _wait(device)
        return history, time.perf_counter() - begun

    trained(WARM_UP)
    losses, seconds = trained(job.iterations)
    model.eval()
    with torch.no_grad():
        right = (model.layers(x_test).argmax(dim=1) == t_test).sum().item()
    return {
        "seconds": seconds,
        "losses": None if job.dropout else losses[:FIRST],  # PyTorch draws its own dropout masks
        "test_accuracy": right / len(t_test),
        "versions": {"torch": torch.__version__},
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }


def _model(job: Job, x: Any, t: Any) -> Any:
    """A module that computes the loss of a minibatch from its indices, with the data as buffers."""
    torch: Any = import_module("torch")
    nn: Any = torch.nn
    module: Any = nn.Module

    class OnMinibatches(module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = _sequential(job.first_weights(), batch_norm=job.batch_norm, dropout=job.dropout)
            self.loss_of = nn.CrossEntropyLoss()
            self.register_buffer("x", x)
            self.register_buffer("t", t)

        def forward(self, indices: Any) -> Any:
            return self.loss_of(self.layers(self.x.index_select(0, indices)), self.t.index_select(0, indices))

    return OnMinibatches()


def _sequential(
    weights: Iterable[tuple[np.ndarray, np.ndarray]],
    activation: str = "ReLU",
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Any:
    """Linear layers with these weights (inputs, outputs) and biases, and the layers after each hidden one."""
    nn: Any = import_module("torch").nn
    layers: list[Any] = []
    *hidden, last = [_linear(W, b) for W, b in weights]
    for linear in hidden:
        layers += [linear, *([nn.BatchNorm1d(linear.out_features)] if batch_norm else []), getattr(nn, activation)()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, last)


def _linear(W: np.ndarray, b: np.ndarray) -> Any:
    torch: Any = import_module("torch")

    linear = torch.nn.Linear(*W.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(W.T)))
        linear.bias.copy_(torch.from_numpy(b))
    return linear


def _eager(model: Any, optimizer: Any, _batch: int) -> Step:
    layers, loss_of, x, t = model.layers, model.loss_of, model.x, model.t  # looked up once, not in each step

    def step(indices: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(layers(x.index_select(0, indices)), t.index_select(0, indices))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _compiled(model: Any, optimizer: Any, _batch: int) -> Step:
    torch: Any = import_module("torch")

    loss_of = torch.compile(model, mode="reduce-overhead")
    update = torch.compile(optimizer.step, mode="reduce-overhead")

    def step(indices: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        loss = loss_of(indices)
        loss.backward()
        update()
        return loss.detach().clone()  # the next step overwrites it

    return step


def _graph(model: Any, optimizer: Any, batch: int) -> Step:
    """As in PyTorch's notes on CUDA graphs: warm up on another stream, capture, replay."""
    torch: Any = import_module("torch")

    eager = _eager(model, optimizer, batch)
    indices = torch.arange(batch, device=model.x.device)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            eager(indices)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss = model(indices)
        loss.backward()
        optimizer.step()

    def step(chosen: Any) -> Any:
        indices.copy_(chosen)
        graph.replay()
        return loss.detach().clone()  # the next replay overwrites it

    return step


_MODES: dict[str, Callable[[Any, Any, int], Step]] = {"eager": _eager, "compile": _compiled, "graph": _graph}


def _wait(device: str) -> None:
    if device == "cuda":
        torch: Any = import_module("torch")

        torch.cuda.synchronize()


# --- single steps ---------------------------------------------------------------------------------------------------


class TorchWorker:
    """PyTorch eager as a `xpnet.bench.work.Worker`; it has as many threads as NumPy's BLAS."""

    def __init__(self, work: Workload, device_kind: str) -> None:
        self.torch: Any = import_module("torch")
        torch, self.work, self.device = self.torch, work, {"CPU": "cpu", "GPU": "cuda"}[device_kind]
        torch.set_num_threads(_blas_threads())
        activation = {"relu": "ReLU", "sigmoid": "Sigmoid"}[work.case.activation]
        self.model = _sequential(work.layers(), activation).to(self.device)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE)
        self.x, self.t, self.order = (
            torch.from_numpy(a).to(self.device) for a in (work.floats(), work.labels, work.order)
        )
        self.images = self.x[: work.case.batch]

    def train(self, steps: int) -> None:
        for i in range(steps):
            self._backward(self.order[i % MINIBATCHES])
            self.optimizer.step()

    def _backward(self, indices: Any) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(self.x.index_select(0, indices)), self.t.index_select(0, indices)).backward()

    def predict(self, times: int) -> None:
        with self.torch.inference_mode():
            for _ in range(times):
                self.model(self.images)

    def seconds(self, work: Callable[[int], Any], times: int, clock: Callable[[], float]) -> float:
        _wait(self.device)
        begun = clock()
        work(times)
        _wait(self.device)
        return clock() - begun

    def probabilities(self) -> np.ndarray:
        with self.torch.inference_mode():
            return self.torch.softmax(self.model(self.images), dim=1).cpu().numpy()

    def gradients(self) -> dict[str, np.ndarray]:
        self._backward(self.order[0])
        return self._by_name(parameter.grad for parameter in self.model.parameters())

    def weights(self) -> dict[str, np.ndarray]:
        return self._by_name(parameter.detach() for parameter in self.model.parameters())

    def _by_name(self, arrays: Iterable[Any]) -> dict[str, np.ndarray]:
        """By xpnet's names; PyTorch's weights are (outputs, inputs)."""
        return {name: a.cpu().numpy().T.copy() for name, a in zip(self.work.start, arrays, strict=True)}


def _blas_threads() -> int:
    from threadpoolctl import threadpool_info

    return next((of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"), os.cpu_count() or 1)
