"""Optimizers and layers that keep something from step to step, written as `xpnet.engine.capture` wants them, or not."""

import numpy as np

from xpnet import Layer, get_array_module


def at_rest(slots, params):
    for key, value in params.items():
        if key not in slots:
            slots[key] = get_array_module(value).zeros_like(value)


class Momentum:
    """The velocities are made before the first step, and changed in place."""

    varying = ("lr",)

    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, {}

    def prepare(self, params):
        at_rest(self.v, params)

    def step_scalars(self, first, count):
        return np.array([[self.lr * 0.99**i] for i in range(first, first + count)])

    def update(self, params, grads, step_scalars):
        (lr,) = step_scalars
        for key in params:
            self.v[key] *= self.momentum
            self.v[key] -= lr * grads[key]
            params[key] += self.v[key]


class Adam:
    """The corrected rate of each step comes from the host; the moments are made anew, and so carried."""

    varying = ("lr",)

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2, self.m, self.v = lr, beta1, beta2, {}, {}

    def prepare(self, params):
        at_rest(self.m, params)
        at_rest(self.v, params)

    def step_scalars(self, first, count):
        n = np.arange(first + 1, first + count + 1)
        return (self.lr * np.sqrt(1 - self.beta2**n) / (1 - self.beta1**n))[:, None]

    def update(self, params, grads, step_scalars):
        (lr,) = step_scalars
        for key in params:
            xp = get_array_module(grads[key])
            self.m[key] = self.m[key] + (1 - self.beta1) * (grads[key] - self.m[key])
            self.v[key] = self.v[key] + (1 - self.beta2) * (grads[key] ** 2 - self.v[key])
            params[key] -= lr * self.m[key] / (xp.sqrt(self.v[key]) + 1e-7)


class CourseAdam(Adam):
    """As the course writes it: it counts its steps itself. Recorded, it would go on with the rate of one step."""

    iter = 0

    def update(self, params, grads, step_scalars=None):
        self.iter += 1
        rate = self.lr * np.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        super().update(params, grads, (float(rate),))


class LazyMomentum(Momentum):
    """Makes its velocities in the first step: recorded, they would be made anew in each."""

    def prepare(self, params):
        pass

    def update(self, params, grads, step_scalars):
        at_rest(self.v, params)
        super().update(params, grads, step_scalars)


class RunningMean(Layer):
    """Takes away the running mean of its inputs: a statistic that is carried from step to step."""

    recordable = True

    def __init__(self, width, dtype="float32"):
        self.mean = np.zeros(width, dtype=dtype)

    def forward(self, x):
        if self.train:
            self.mean = 0.9 * self.mean + 0.1 * get_array_module(x).mean(x, axis=0)
        return x - self.mean

    def backward(self, dout):
        return dout


class Noise(Layer):
    """Draws in each step, from NumPy's own generator."""

    recordable = True

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        return x * self.rng.random(x.shape).astype("float32")

    def backward(self, dout):
        return dout


class Masking(Layer):
    """A ReLU by a boolean mask, as the course writes it."""

    recordable = True

    def forward(self, x):
        out = x * 1
        out[x <= 0] = 0
        self.mask = x <= 0
        return out

    def backward(self, dout):
        dx = dout * 1
        dx[self.mask] = 0
        return dx


class Looking(Layer):
    """Looks at its numbers in each step."""

    recordable = True

    def forward(self, x):
        return x if float(get_array_module(x).sum(x)) > 0 else x * 1

    def backward(self, dout):
        return dout
