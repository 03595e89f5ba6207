"""Softmax with loss: the last layer, whose backward pass is as simple as y - t (course row 13)."""

import numpy as np

from xpnet import SoftmaxWithLoss, asarray, cross_entropy_error, softmax, to_numpy
from xpnet.plotting import new_figure, save_figure

scores = asarray([[0.3, 2.9, 4.0], [2.0, 1.0, 0.1]])

# %% One-hot labels and class indices give the same result
for name, t in (("class indices", asarray([2, 1])), ("one-hot", asarray([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))):
    layer = SoftmaxWithLoss()
    print(f"{name}: loss {float(layer.forward(scores, t)):.6f}, backward:")
    print(to_numpy(layer.backward()))
print("(y - t) / N, with N = 2 rows:")
print((to_numpy(softmax(scores)) - np.array([[0, 0, 1], [0, 1, 0]])) / 2)

# %% The loss is exact, also if the correct class is far behind; the course's log(y + 1e-7) ends at 16.1
behind = np.arange(0.0, 41.0)
exact, course = [], []
for d in behind:
    x, t = asarray([[0.0, d]]), asarray([0])
    exact.append(float(SoftmaxWithLoss().forward(x, t)))
    course.append(float(cross_entropy_error(softmax(x), t)))
print(f"the correct class {behind[30]:g} behind: loss {exact[30]:.4f}, with the 1e-7 {course[30]:.4f}")
figure = new_figure(figsize=(6, 3.6), layout="constrained")
axes = figure.subplots()
axes.plot(behind, exact, label="SoftmaxWithLoss, of the scores")
axes.plot(behind, course, "--", label="cross_entropy_error, of the probabilities")
axes.set(title="Effect of the 1e-7 on the loss", xlabel="how far the correct class is behind", ylabel="loss")
axes.legend()
axes.grid(alpha=0.3)
print("Written:", save_figure(figure, "output/course/13_softmax_with_loss.png"))
