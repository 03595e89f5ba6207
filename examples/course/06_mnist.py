"""MNIST: 60,000 handwritten digits for training and 10,000 for testing (course row 6)."""

from xpnet import load_mnist
from xpnet.plotting import new_figure, plot_images, save_figure

# %% Images as rows of 784 pixels, labels as numbers
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
print("load_mnist(normalize=False):", x_train.shape, t_train.shape, x_test.shape, t_test.shape)
print(f"pixels from {x_train.min()} to {x_train.max()}; x_train[0] is a {t_train[0]}, x_test[0] is a {t_test[0]}")

# %% The three options of load_mnist
(images, one_hot), (test_images, test_one_hot) = load_mnist(normalize=True, flatten=False, one_hot_label=True)
print("load_mnist(flatten=False):", images.shape, test_images.shape)
print("load_mnist(one_hot_label=True):", one_hot.shape, test_one_hot.shape)
print(f"load_mnist(normalize=True): pixels from {images.min()} to {images.max()}")
print("the label of x_train[0], one-hot:", one_hot[0])

# %% One image
figure = new_figure(figsize=(3, 3.2), layout="constrained")
axes = figure.subplots()
axes.imshow(x_train[0].reshape(28, 28), cmap="gray")
axes.set_title(f"x_train[0], a {t_train[0]}")
print("Written:", save_figure(figure, "output/course/06_first_image.png"))

# %% The first fifty images with their labels
figure = plot_images(x_train[:50], t_train[:50], title="MNIST: the first 50 training images and their labels")
print("Written:", save_figure(figure, "output/course/06_mnist.png"))
