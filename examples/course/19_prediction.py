"""Prediction for one image: the first test image, its label, its ten scores and the highest of them (course row 19)."""

from pathlib import Path

from xpnet import Trainer, TwoLayerNet, asarray, load_mnist, to_numpy
from xpnet.plotting import plot_scores, save_figure

# %% A trained network: the one saved by 17_training.py, or one that is trained now for an epoch
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
network = TwoLayerNet(784, 50, 10, seed=0)
saved = Path("output/course/two_layer_net.safetensors")
if saved.exists():
    network.load(saved)
else:
    Trainer(network, x_train, t_train, x_test, t_test, epochs=1, optimizer_param={"lr": 0.1}, seed=0).train()

# %% One image as a batch of one
x, t = asarray(x_test[:1]), int(t_test[0])
scores = to_numpy(network.predict(x))
print("shape of the scores:", scores.shape)
print("scores:", scores.round(2))
print("label:", t)
print("argmax:", scores.argmax())
print(f"probability of a {scores.argmax()}: {to_numpy(network.predict_proba(x)).max():.4f}")

# %% The image and its scores
figure = plot_scores(x_test[0], scores, label=t, title="x_test[0]")
print("Written:", save_figure(figure, "output/course/19_prediction.png"))
