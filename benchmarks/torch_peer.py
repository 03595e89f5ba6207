"""PyTorch doing a `Job`: eager, compiled, or with the whole step captured by hand as a CUDA graph.

On a GPU none of it has been run yet.
"""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from job import Job
from peers import FIRST, WARM_UP
from taking_turns import Run

__all__ = ["torch_loop"]

Step = Callable[[Any], Any]  # given the indices of a minibatch; returns its loss


def torch_loop(job: Job, mode: str = "eager", device: str = "cpu") -> Run:
    """Train as one writes it in PyTorch, the data being at hand as floats, the losses fetched once an epoch.

    Parameters
    ----------
    job
        What to learn.
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
        "losses": None if job.dropout else losses[:FIRST],  # what it drops is drawn by PyTorch
        "test_accuracy": right / len(t_test),
        "versions": {"torch": torch.__version__},
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }


def _model(job: Job, x: Any, t: Any) -> Any:
    """The network with its data as buffers, which a compiled step reads where they are; given indices, the loss."""
    torch: Any = import_module("torch")
    nn: Any = torch.nn
    module: Any = nn.Module

    class OnMinibatches(module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers: list[Any] = []
            *hidden, last = [_linear(W, b) for W, b in job.first_weights()]
            for linear in hidden:
                layers += [linear, *([nn.BatchNorm1d(linear.out_features)] if job.batch_norm else []), nn.ReLU()]
                layers += [nn.Dropout(job.dropout)] if job.dropout else []
            self.layers = nn.Sequential(*layers, last)
            self.loss_of = nn.CrossEntropyLoss()
            self.register_buffer("x", x)
            self.register_buffer("t", t)

        def forward(self, indices: Any) -> Any:
            return self.loss_of(self.layers(self.x.index_select(0, indices)), self.t.index_select(0, indices))

    return OnMinibatches()


def _linear(W: np.ndarray, b: np.ndarray) -> Any:
    torch: Any = import_module("torch")

    linear = torch.nn.Linear(*W.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(W.T)))
        linear.bias.copy_(torch.from_numpy(b))
    return linear


def _eager(model: Any, optimizer: Any, _batch: int) -> Step:
    layers, loss_of, x, t = model.layers, model.loss_of, model.x, model.t  # none is looked up in the module each step

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
        return loss.detach().clone()  # the next step will write over it

    return step


def _graph(model: Any, optimizer: Any, batch: int) -> Step:
    """As PyTorch's notes on CUDA graphs have it: warm up on a stream aside, capture, replay."""
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
        return loss.detach().clone()  # the next replay will write over it

    return step


_MODES: dict[str, Callable[[Any, Any, int], Step]] = {"eager": _eager, "compile": _compiled, "graph": _graph}


def _wait(device: str) -> None:
    if device == "cuda":
        torch: Any = import_module("torch")

        torch.cuda.synchronize()
