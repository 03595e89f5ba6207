"""Exercise: recognize digits, a hundred at a time.

A network can classify many images at once, as the rows of one matrix. The answers are the same, and come much sooner,
because one large matrix product takes less time than a hundred small ones (course row 7). Write your answer where it
says `...  # your code here`; the next cell tells you whether it is correct.
"""

import time

import numpy as np

from xpnet import ThreeLayerNet, load_mnist, load_sample_weight, sigmoid, softmax

# %% The test images, and the network with its trained weights
_, (x, t) = load_mnist(normalize=True, flatten=True, one_hot_label=False)
network = load_sample_weight()
print("images", x.shape, "labels", t.shape)

# %% [markdown]
# ## The forward pass
#
# As in the exercise before. It also stores the shape of each `x`, for the check below.

# %%
shapes = []


def predict(network, x):
    shapes.append(x.shape)
    z1 = sigmoid(np.dot(x, network["W1"]) + network["b1"])
    z2 = sigmoid(np.dot(z1, network["W2"]) + network["b2"])
    return softmax(np.dot(z2, network["W3"]) + network["b3"])


print("one image:", x[0].shape, "gives", predict(network, x[0]).shape)
print("a batch:  ", x[:100].shape, "gives", predict(network, x[:100]).shape)

# %% [markdown]
# ## Batches
#
# **실습:** 이미지를 100개씩 묶어 `predict`에 넣고, 예측한 숫자의 목록 `answers`와 정확도 `accuracy`를 구하시오.
#
# Take the images in batches of `batch_size`, `x[i : i + batch_size]`. In each row of the result of `predict`, find the
# digit with the highest probability. Add the digits of the batch to `answers`, with `answers.extend(...)`, and compute
# the accuracy of all images.

# %%
shapes.clear()
batch_size = 100
answers = []
accuracy = None
begun = time.perf_counter()
# BEGIN SOLUTION
right = 0
for i in range(0, len(x), batch_size):
    y_batch = predict(network, x[i : i + batch_size])
    p = np.argmax(y_batch, axis=1)
    answers.extend(p)
    right += np.sum(p == t[i : i + batch_size])
accuracy = right / len(x)
# END SOLUTION
seconds = time.perf_counter() - begun

# %% Check the answers
assert shapes, "predict has not been called yet. Fill the blank."
assert len(shapes) != len(x), (
    f"predict was called {len(shapes):,} times, with x of shape {shapes[0]}: once for each image. Hint: give it "
    "x[i : i + batch_size], and let i go in steps of batch_size, range(0, len(x), batch_size)."
)
assert shapes == 100 * [(100, 784)], (
    f"Expected 100 batches of shape (100, 784), got {len(shapes)}, of shapes {sorted(set(shapes))}. "
    "Hint: range(0, len(x), batch_size) and x[i : i + batch_size]"
)
assert len(answers) == 10000, (
    f"Expected 10,000 answers, a digit for each image, got {len(answers):,}. Hint: np.argmax(y_batch, axis=1) gives "
    "one for each row; axis=0 goes down the columns, and no axis gives one number in all."
)
# Two answers may differ: on another computer the last digit of a probability can.
same = ThreeLayerNet(784, 50, 100, 10, backend="numpy").set_params(network)
different = np.sum(np.array(answers) != same.predict(x).argmax(axis=1))
assert different <= 2, f"{different:,} answers are not the network's. Hint: np.argmax(y_batch, axis=1), batch by batch"
assert accuracy is not None, "accuracy is still None. Divide the number of correct answers by the number of images."
assert accuracy <= 1, f"Expected an accuracy from 0 to 1, got {accuracy}. Hint: divide by len(x)."
assert abs(accuracy - 0.9352) < 0.0003, (
    f"Expected an accuracy of 0.9352, got {accuracy}. Hint: compare with the labels of the same images, "
    "t[i : i + batch_size], and divide by len(x)."
)
print(f"All right: {accuracy:.4f}, as before, in {seconds:.3f} seconds.")

# %% One by one, for comparison
begun = time.perf_counter()
for image in x:
    predict(network, image)
print(f"One by one it takes {time.perf_counter() - begun:.3f} seconds.")
