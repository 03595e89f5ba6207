"""A residual network, and data augmentation of a thousand images (course row 20).

Pass a whole number after the program's name to train for that many epochs instead of 30.
"""

import sys

import numpy as np

from xpnet import Adam, Augmentation, CosineDecay, ResNet, Trainer, asarray, load_mnist, to_numpy
from xpnet.data.augmentation import add_noise, rotate, shift
from xpnet.plotting import plot_images, plot_runs, save_figure

epochs = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 30
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)

# %% One digit, changed deliberately and at random: the same digit with other pixels
digit = asarray(x_train[:1])
changed = {
    "as it is": digit, "shifted": shift(digit, 2, -2), "10° left": rotate(digit, 10), "10° right": rotate(digit, -10),
    "noisy": add_noise(digit, 0.1, np.array([1], dtype=np.int32)),
}  # fmt: skip
by_chance = Augmentation(shift=2, rotate=10, noise=0.1, seed=0)
for number in range(1, 16):
    changed[f"chance {number}"] = by_chance(digit)
same = sum(np.array_equal(to_numpy(image), x_train[:1]) for image in changed.values())
print(f"{len(changed)} images of a {t_train[0]}; {same} of them is unchanged")
images = np.concatenate([to_numpy(image) for image in changed.values()])
figure = plot_images(images, list(changed), columns=5, title="One image, changed on purpose and by chance")
print("Written:", save_figure(figure, "output/course/27_augmented.png"))

# %% The same small residual network and the same thousand images, with and without augmentation
x_train, t_train = x_train[:1000], t_train[:1000]
curves, dashed, accuracies = {}, [], {}
for name, augmentation in (("without", None), ("with augmentation", Augmentation(shift=2, rotate=10, seed=0))):
    network = ResNet(filter_nums=(8, 16, 32), seed=0)
    falling = CosineDecay(0.01, steps=20 * epochs)  # the learning rate falls from 0.01 to 0
    trainer = Trainer(
        network, x_train, t_train, x_test, t_test, epochs=epochs, mini_batch_size=50, optimizer=Adam(lr=falling),
        augmentation=augmentation, evaluate_sample_num_per_epoch=1000, verbose=False, seed=0,
    )  # fmt: skip
    history = trainer.train()
    dashed.append(f"{name}, in the test (1,000 images)")
    curves |= {f"{name}, in training": history.train_acc, dashed[-1]: history.test_acc}
    accuracies[name] = network.accuracy(trainer.x_test, trainer.t_test)
    print(f"{name}: training accuracy {history.train_acc[-1]:.4f}, test accuracy {accuracies[name]:.4f}")
print(network)
less = (1 - accuracies["without"]) / (1 - accuracies["with augmentation"])
print(f"without augmentation there are {less:.1f} times as many errors on the test set")

# %% By epoch
figure = plot_runs(curves, quantity="accuracy", dashed=dashed, ylim=(0.8, 1.005), title="ResNet, a thousand images")
print("Written:", save_figure(figure, "output/course/27_resnet.png"))
