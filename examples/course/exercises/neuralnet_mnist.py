"""Exercise: recognize digits, one by one.

The book has trained a three-layer network with 784 inputs, 50 and 100 hidden units, and 10 outputs. Use its weights to
classify 10,000 digits that it has never seen (course row 7). Write your answers where it says
`...  # your code here`; the next cell tells you whether they are correct.
"""

import numpy as np

from xpnet import ThreeLayerNet, load_mnist, load_sample_weight, sigmoid, softmax
from xpnet.plotting import plot_images

# %% [markdown]
# ## 1. The data
#
# **실습:** 시험용 이미지와 레이블을 돌려주는 `get_data()`를 구현하시오. 픽셀은 0.0에서 1.0까지로 정규화하고, 이미지는
# 1차원으로 한다.
#
# The function returns the 10,000 test images and their labels, `return x_test, t_test`: pixels from 0.0 to 1.0, each
# image a row of 784, and labels from 0 to 9.


# %%
def get_data():
    # BEGIN SOLUTION
    _, (x_test, t_test) = load_mnist(normalize=True, flatten=True, one_hot_label=False)
    return x_test, t_test
    # END SOLUTION


# %% Check the data
data = get_data()
assert data is not None, "get_data returns nothing yet. Fill the blank, and end it with `return x_test, t_test`."
assert len(data) == 2, f"Expected two things, the images and their labels, got {len(data)}. Hint: return x_test, t_test"
x, t = data
assert len(x) == 10000, f"Expected the 10,000 test images, got {len(x):,}. Hint: return x_test, t_test"
assert x.shape == (10000, 784), f"Expected images of shape (10000, 784), got {x.shape}. Hint: flatten=True"
assert x.max() == 1, f"Expected pixels from 0.0 to 1.0, the largest is {x.max()}. Hint: normalize=True"
assert t.shape == (10000,), f"Expected labels of shape (10000,), got {t.shape}. Hint: one_hot_label=False"
assert t[0] == 7, f"Expected a 7 as the first test label, got {t[0]}."
print("All right:", x.shape, t.shape)

# %% The network: its weights and biases
network = load_sample_weight()
for name, values in network.items():
    print(name, values.shape)

# %% [markdown]
# ## 2. The forward pass
#
# **실습:** 입력 `x`에서 열 개의 확률을 계산하는 `predict(network, x)`를 구현하시오. 은닉층은 시그모이드, 출력층은
# 소프트맥스를 쓴다.
#
# As in the exercise before: weights, biases and `sigmoid` twice, then weights, biases and `softmax`.


# %%
def predict(network, x):
    # BEGIN SOLUTION
    z1 = sigmoid(np.dot(x, network["W1"]) + network["b1"])
    z2 = sigmoid(np.dot(z1, network["W2"]) + network["b2"])
    return softmax(np.dot(z2, network["W3"]) + network["b3"])
    # END SOLUTION


# %% Check the forward pass
same = ThreeLayerNet(784, 50, 100, 10, backend="numpy").set_params(network)
answer = predict(network, x[0])
assert answer is not None, "predict returns nothing yet. Fill the blank, and end it with `return ...`."
assert isinstance(answer, np.ndarray), f"Expected an array of ten probabilities, got {answer!r}. Return it alone."
assert answer.shape == (10,), f"Expected ten probabilities for one image, got shape {answer.shape}."
assert np.isclose(np.sum(answer), 1), f"Expected probabilities, of sum 1, got the sum {np.sum(answer)}. Hint: softmax"
for i in range(5):
    expected, answer = same.predict_proba(x[i]), predict(network, x[i])
    assert np.allclose(answer, expected, atol=1e-5), (
        f"For x[{i}] expected\n{expected}, got\n{answer}\nHint: the sigmoid after the first two layers, a bias in each "
        "of the three, and the argument x."
    )
print("All right: it says that x[0] is a", np.argmax(predict(network, x[0])))

# %% [markdown]
# ## 3. How many are correct?
#
# **실습:** 이미지를 하나씩 `predict`에 넣어 예측한 숫자의 목록 `answers`와, 정확도 `accuracy`를 구하시오.
#
# Go through the images one at a time, and append the digit with the highest probability to `answers`. The accuracy is
# the number of answers that equal their label, divided by the number of images.

# %%
answers = []
accuracy = None
# BEGIN SOLUTION
right = 0
for i in range(len(x)):
    y = predict(network, x[i])
    p = np.argmax(y)
    answers.append(int(p))
    if p == t[i]:
        right += 1
accuracy = right / len(x)
# END SOLUTION

# %% Check the answers
assert len(answers) == 10000, f"Expected 10,000 answers, there are {len(answers):,}. Hint: answers.append(...)"
assert np.shape(answers) == (10000,), "Expected one digit for each image. Hint: np.argmax gives the digit."
assert answers[0] == 7, (
    f"Expected the answer 7 for the first image, got {answers[0]}. Hint: np.argmax of its ten numbers"
)
# Two answers may differ: on another computer the last digit of a probability can.
different = np.sum(np.array(answers) != same.predict(x).argmax(axis=1))
assert different <= 2, f"{different:,} answers are not the network's. Hint: np.argmax(predict(network, x[i]))"
assert accuracy is not None, "accuracy is still None. Divide the number of correct answers by the number of images."
assert accuracy <= 1, f"Expected an accuracy from 0 to 1, got {accuracy}. Hint: divide by len(x)."
assert abs(accuracy - 0.9352) < 0.0003, (
    f"Expected an accuracy of 0.9352, got {accuracy}. Hint: count answers[i] == t[i]."
)
print(f"All right: {accuracy:.4f} of the digits are classified correctly.")

# %% Some misclassified digits: the prediction, and the label
wrong = np.flatnonzero(np.array(answers) != t)[:20]
figure = plot_images(x[wrong], [f"{answers[i]} for {t[i]}" for i in wrong], columns=10)
