"""Exercise: load MNIST and look at it.

MNIST holds 70,000 handwritten digits, 28 x 28 pixels each: 60,000 for training and 10,000 for testing (course row 6).
Write your answers where it says `...  # your code here`; the next cell tells you whether they are correct.
"""

import matplotlib.pyplot as plt
import numpy as np

from xpnet import load_mnist

# %% [markdown]
# ## 1. Load the images
#
# **실습:** `load_mnist`로 학습용과 시험용 이미지와 레이블을 불러오시오. 픽셀은 0에서 255까지의 정수, 이미지는 784개의
# 원소를 가진 1차원 배열로 한다.
#
# Fill `data` with what `load_mnist` returns: pixels as they are in the file, 0 to 255, and each image as a row of 784.
# Its options are `normalize`, `flatten` and `one_hot_label`, each `True` or `False`.

# %%
# BEGIN SOLUTION
data = load_mnist(normalize=False, flatten=True, one_hot_label=False)
# END SOLUTION

# %% Check what was loaded
assert data is not ..., "data is still blank: put `load_mnist(...)` in place of the three dots."
(x_train, t_train), (x_test, t_test) = data
assert x_train.max() == 255, f"Expected pixels from 0 to 255, the largest is {x_train.max()}. Hint: normalize=False"
assert x_train.shape == (60000, 784), f"Expected images (60000, 784), got {x_train.shape}. Hint: flatten=True"
assert t_train.shape == (60000,), f"Expected labels (60000,), got {t_train.shape}. Hint: one_hot_label=False"
print("All right:", x_train.shape, t_train.shape, x_test.shape, t_test.shape)

# %% [markdown]
# ## 2. One image
#
# **실습:** 첫 번째 학습용 이미지의 레이블 `label`과, 28 x 28 형상으로 바꾼 이미지 `image`를 구하시오.
#
# Take the label of the first training image, and the image itself with the shape of a picture, 28 rows of 28 pixels.

# %%
# BEGIN SOLUTION
label = t_train[0]
image = x_train[0].reshape(28, 28)
# END SOLUTION

# %% Check the image
assert label is not ..., "label is still blank: put the first training label in place of the three dots."
assert np.array_equal(label, 5), f"Expected the label 5, got {label}. Hint: the first one is number 0, in t_train."
assert image is not ..., "image is still blank: put the first training image in place of the three dots."
assert np.shape(image) == (28, 28), f"Expected the shape (28, 28), got {np.shape(image)}. Hint: .reshape(28, 28)"
unflattened = load_mnist(normalize=False, flatten=False)[0][0][0, 0]
assert not np.array_equal(image, unflattened.T), "The image lies on its side. Hint: .reshape(28, 28) and nothing more."
assert np.array_equal(image, unflattened), "This is not the first training image. Hint: it is x_train[0]."
print("All right: x_train[0] is a", label)

# %% [markdown]
# ## 3. Draw it
#
# **실습:** `image`를 흑백으로 그리고, 레이블을 제목으로 쓰시오.
#
# Draw it with `plt.imshow`, in gray (`cmap="gray"`), with its label as the title (`plt.title`). You should see a 5.

# %%
figure, axes = plt.subplots()
# BEGIN SOLUTION
plt.imshow(image, cmap="gray")
plt.title(label)
# END SOLUTION
plt.show()

# %% Check the picture
assert axes.images, 'There is no image in the picture yet. Fill the blank: plt.imshow(image, cmap="gray")'
assert np.array_equal(axes.images[0].get_array(), unflattened), "The picture shows another image. Hint: imshow(image)"
assert axes.images[0].get_cmap().name.lower() in ("gray", "grey", "gray_r", "grey_r", "binary"), (
    f'Expected a picture in gray, its color map is {axes.images[0].get_cmap().name!r}. Hint: cmap="gray"'
)
assert "5" in axes.get_title(), f"Expected the label 5 in the title, it is {axes.get_title()!r}. Hint: plt.title(label)"
print("All right: it is a 5.")

# %% [markdown]
# ## 4. Ten of them
#
# **실습:** 처음 열 개의 시험용 이미지를 나란히 그리고, 각각의 레이블을 제목으로 쓰시오.
#
# Draw the first ten test images side by side, each in its own small picture, `grid[i]`, and each with its label as the
# title: `grid[i].imshow` and `grid[i].set_title`.

# %%
figure, grid = plt.subplots(1, 10, figsize=(10, 1.6))
for i in range(10):
    grid[i].set_axis_off()
    # BEGIN SOLUTION
    grid[i].imshow(x_test[i].reshape(28, 28), cmap="gray")
    grid[i].set_title(t_test[i])
    # END SOLUTION
plt.show()

# %% Check the ten pictures
(_, _), (images, labels) = load_mnist(normalize=False, flatten=False)
for i in range(10):
    assert grid[i].images, f"There is no image in picture {i} yet. Fill the blank; grid[i].imshow(...) draws it."
    shown, title = np.asarray(grid[i].images[0].get_array()), grid[i].get_title()
    assert np.array_equal(shown, images[i, 0]), f"Picture {i} is not x_test[{i}]. Hint: x_test[i].reshape(28, 28)"
    assert title.endswith(str(labels[i])), (
        f"Expected the label {labels[i]} as the title of picture {i}, it is {title!r}. "
        "Hint: grid[i].set_title(t_test[i])"
    )
print("All right: they read", *labels[:10])
