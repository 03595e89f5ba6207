"""Exercise: a three-layer network.

Compute the outputs of a network by hand, with arrays: 2 inputs, 3 and 2 hidden units, 2 outputs, with the sigmoid after
each hidden layer (course row 5). Write your answers where it says `...  # your code here`; the next cell tells you
whether they are correct.
"""

import numpy as np

from xpnet import ThreeLayerNet, sigmoid, softmax
from xpnet.functions import identity_function

# %% The inputs, the weights and the biases
X = np.array([1.0, 0.5])
network = {
    "W1": np.array([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]]),
    "b1": np.array([0.1, 0.2, 0.3]),
    "W2": np.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]),
    "b2": np.array([0.1, 0.2]),
    "W3": np.array([[0.2, 0.5], [0.3, 0.6]]),
    "b3": np.array([0.1, 0.2]),
}
W1, b1 = network["W1"], network["b1"]
W2, b2 = network["W2"], network["b2"]
W3, b3 = network["W3"], network["b3"]

# %% [markdown]
# ## 1. The first layer
#
# **실습:** 입력 `X`에서 1층의 가중합 `A1`과 그 활성화 `Z1`을 구하시오.
#
# The weighted sums `A1` are the inputs times the weights, plus the biases; their sigmoid is `Z1`.

# %%
# BEGIN SOLUTION
A1 = np.dot(X, W1) + b1
Z1 = sigmoid(A1)
# END SOLUTION

# %% Check the first layer
assert A1 is not ..., "A1 is still blank: put the weighted sums in place of the three dots."
assert np.shape(A1) == (3,), f"Expected A1 of three numbers, got {A1!r}. Hint: the product is np.dot(X, W1)."
assert not np.allclose(A1, [0.2, 0.5, 0.8]), f"Expected A1 = [0.3 0.7 1.1], got {A1}. Hint: the biases b1 are missing."
assert np.allclose(A1, [0.3, 0.7, 1.1]), f"Expected A1 = [0.3 0.7 1.1], got {A1}. Hint: X times W1, plus b1."
assert Z1 is not ..., "Z1 is still blank: put the activations in place of the three dots."
assert np.allclose(Z1, [0.57444252, 0.66818777, 0.75026011], rtol=0, atol=1e-8), (
    f"Expected Z1 = [0.57444252 0.66818777 0.75026011], got {Z1}. Hint: the sigmoid of A1."
)
print("All right: the first layer.")

# %% [markdown]
# ## 2. The second layer
#
# **실습:** 1층의 출력 `Z1`에서 2층의 가중합 `A2`와 그 활성화 `Z2`를 구하시오.
#
# The output of the first layer is the input of the second.

# %%
# BEGIN SOLUTION
A2 = np.dot(Z1, W2) + b2
Z2 = sigmoid(A2)
# END SOLUTION

# %% Check the second layer
assert A2 is not ..., "A2 is still blank: put the weighted sums in place of the three dots."
assert not np.allclose(A2, np.dot(A1, W2) + b2), f"Expected the second layer to get Z1, not A1; got A2 = {A2}."
assert np.allclose(A2, [0.51615984, 1.21402696], rtol=0, atol=1e-8), (
    f"Expected A2 = [0.51615984 1.21402696], got {A2}. Hint: Z1 times W2, plus b2."
)
assert Z2 is not ..., "Z2 is still blank: put the activations in place of the three dots."
assert np.allclose(Z2, [0.62624937, 0.7710107], rtol=0, atol=1e-8), (
    f"Expected Z2 = [0.62624937 0.7710107], got {Z2}. Hint: the sigmoid of A2."
)
print("All right: the second layer.")

# %% [markdown]
# ## 3. The output layer
#
# **실습:** 2층의 출력 `Z2`에서 출력층의 값 `A3`(항등 함수)와 확률 `Y`(소프트맥스)를 구하시오.
#
# The output layer has no sigmoid: `A3` is the `identity_function` of its weighted sums, and `Y`, their `softmax`, are
# probabilities.

# %%
# BEGIN SOLUTION
A3 = identity_function(np.dot(Z2, W3) + b3)
Y = softmax(A3)
# END SOLUTION

# %% Check the output layer
assert A3 is not ..., "A3 is still blank: put the weighted sums in place of the three dots."
assert not np.allclose(A3, sigmoid(np.dot(Z2, W3) + b3)), f"Expected no sigmoid after the last layer; got A3 = {A3}."
assert np.allclose(A3, [0.45655308, 0.9757311], rtol=0, atol=1e-8), (
    f"Expected A3 = [0.45655308 0.9757311], got {A3}. Hint: Z2 times W3, plus b3."
)
assert Y is not ..., "Y is still blank: put the probabilities in place of the three dots."
assert np.allclose(Y, [0.37304446, 0.62695554], rtol=0, atol=1e-8), (
    f"Expected Y = [0.37304446 0.62695554], got {Y}, of sum {np.sum(Y)}. Hint: the softmax of A3."
)
print("All right: the network says 1, with probability 0.627.")

# %% [markdown]
# ## 4. All of it in one function
#
# **실습:** 위의 계산을 하나로 모아, 가중치 `network`와 입력 `x`를 받아 확률을 돌려주는 `predict(network, x)`를
# 구현하시오.
#
# The function computes the probabilities from the inputs `x`, with the weights and biases in `network`. `x` can be one
# sample, or a batch with one sample in each row.


# %%
def predict(network, x):
    # BEGIN SOLUTION
    z1 = sigmoid(np.dot(x, network["W1"]) + network["b1"])
    z2 = sigmoid(np.dot(z1, network["W2"]) + network["b2"])
    return softmax(identity_function(np.dot(z2, network["W3"]) + network["b3"]))
    # END SOLUTION


# %% Check the function
answer = predict(network, X)
assert answer is not None, "predict returns nothing yet. Fill the blank, and end it with `return ...`."
assert isinstance(answer, np.ndarray), f"Expected an array of two probabilities, got {answer!r}. Return it alone."
assert answer.shape == (2,), f"Expected two probabilities for one sample, got shape {answer.shape}:\n{answer}"
assert np.allclose(answer, [0.37304446, 0.62695554], rtol=0, atol=1e-8), (
    f"Expected [0.37304446 0.62695554] for {X}, got {answer}. Hint: the three layers as above, and softmax at the end."
)
batch = np.array([[0.0, 0.0], [1.0, 0.5], [-20.0, 30.0]])
same = ThreeLayerNet(2, 3, 2, 2, dtype="float64", backend="numpy").set_params(network)
assert np.shape(predict(network, batch)) == (3, 2), (
    f"Expected a row of two probabilities for each of three samples, got shape {np.shape(predict(network, batch))}. "
    "Hint: use the argument x, not X."
)
assert np.allclose(predict(network, batch), same.predict_proba(batch)), (
    f"For the three samples\n{batch}\nexpected\n{same.predict_proba(batch)}, got\n{predict(network, batch)}. "
    "Hint: use the argument x, not X."
)
other = {name: -3 * values for name, values in network.items()}
assert np.allclose(predict(other, batch), same.set_params(other).predict_proba(batch)), (
    "With other weights and biases the answer is wrong. Hint: take each from the argument, network['W1'] and so on."
)
print("All right: predict works for one sample, for many, and with any weights.")
