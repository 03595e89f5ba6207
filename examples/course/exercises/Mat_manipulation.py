"""Exercise: matrices and their products.

A layer of a network is a product of matrices. Before you build one, practice with arrays: dimensions, shapes, sums and
products (course row 4). Write your answers where it says `...  # your code here`; the next cell tells you whether they
are correct.
"""

import numpy as np

# %% [markdown]
# ## 1. Dimensions and shape
#
# **실습:** 배열 `v`와 `M`의 차원 수와 형상을 구하시오.
#
# How many dimensions do `v` and `M` have, and what are their shapes? NumPy knows them: `ndim` and `shape`.

# %%
v = np.array([1, 2, 3, 4])
M = np.array([[1, 2], [3, 4], [5, 6]])
# BEGIN SOLUTION
v_ndim = v.ndim
v_shape = v.shape
M_ndim = M.ndim
M_shape = M.shape
# END SOLUTION

# %% Check dimensions and shapes
for name, answer, expected in (
    ("v_ndim", v_ndim, 1),
    ("v_shape", v_shape, (4,)),
    ("M_ndim", M_ndim, 2),
    ("M_shape", M_shape, (3, 2)),
):
    assert answer is not ..., f"{name} is still blank: put your answer in place of the three dots."
    assert answer == expected, (
        f"Expected {name} = {expected}, got {answer!r}. Hint: ndim counts the dimensions; shape is a tuple with the "
        "size of each, rows before columns. Neither is a function: no parentheses."
    )
print("All right: these are the dimensions and the shapes.")

# %% [markdown]
# ## 2. Sums and multiples
#
# **실습:** 행렬 `A`와 `B`의 합과, `A`의 2배를 구하시오.
#
# Compute the sum of `A` and `B`, and two times `A`. Both work element by element.

# %%
A = np.array([[1, 2], [3, 4]])
B = np.array([[5, 6], [7, 8]])
# BEGIN SOLUTION
total = A + B
double = 2 * A
# END SOLUTION

# %% Check the sum and the multiple
assert total is not ..., "total is still blank: put A plus B in place of the three dots."
assert np.array_equal(total, [[6, 8], [10, 12]]), f"Expected A plus B, [[6 8] [10 12]], got\n{total}."
assert double is not ..., "double is still blank: put two times A in place of the three dots."
assert np.array_equal(double, [[2, 4], [6, 8]]), f"Expected two times A, [[2 4] [6 8]], got\n{double}. Hint: 2 * A"
print("All right: sums and multiples work element by element.")

# %% [markdown]
# ## 3. Matrix products
#
# **실습:** 행렬의 곱 `A`·`B`, `C`·`M`, `X`·`W`를 구하시오.
#
# Compute three products, each row times each column: `A` times `B`, `C` times `M`, and the vector `X` times `W`. The
# last one is what a layer of a network does with its inputs.

# %%
C = np.array([[1, 2, 3], [4, 5, 6]])
X = np.array([1, 2])
W = np.array([[1, 3, 5], [2, 4, 6]])
# BEGIN SOLUTION
AB = np.dot(A, B)
CM = np.dot(C, M)
XW = np.dot(X, W)
# END SOLUTION

# %% Check the products
assert not np.array_equal(AB, A * B), f"Expected the product of A and B, got A * B:\n{AB}\nHint: np.dot(A, B)"
assert not np.array_equal(AB, np.dot(B, A)), f"Expected A times B, got B times A:\n{AB}"
for name, answer, expected in (
    ("AB", AB, np.array([[19, 22], [43, 50]])),
    ("CM", CM, np.array([[22, 28], [49, 64]])),
    ("XW", XW, np.array([5, 11, 17])),
):
    assert answer is not ..., f"{name} is still blank: put the product in place of the three dots."
    assert np.shape(answer) == expected.shape, (
        f"Expected {name} of shape {expected.shape}, got shape {np.shape(answer)}:\n{answer}\nHint: (rows, n) times "
        "(n, columns) gives (rows, columns), so the order of the two matters."
    )
    assert np.array_equal(answer, expected), f"Expected {name} =\n{expected}, got\n{answer}\nHint: np.dot"
print("All right: rows times columns.")

# %% [markdown]
# ## 4. The product, by hand
#
# **실습:** `np.dot`를 쓰지 않고, 반복문으로 두 행렬의 곱을 구하는 `product(A, B)`를 구현하시오.
#
# Compute the product with loops, without `np.dot`, `np.matmul` and `@`: the number in row `i` and column `j` is the sum
# of `A[i, k] * B[k, j]` over all `k`.


# %%
def product(A, B):
    rows, columns = A.shape[0], B.shape[1]
    result = np.zeros((rows, columns))
    # BEGIN SOLUTION
    for i in range(rows):
        for j in range(columns):
            for k in range(A.shape[1]):
                result[i, j] += A[i, k] * B[k, j]
    # END SOLUTION
    return result


# %% Check the product by hand
random = np.random.default_rng(0)
for shape in ((2, 2, 2), (2, 3, 2), (3, 1, 4), (4, 5, 3)):
    left, right = random.integers(1, 9, shape[:2]), random.integers(1, 9, shape[1:])
    try:
        answer = product(left, right)
    except (IndexError, ValueError) as error:
        raise AssertionError(
            f"product fails for shapes {left.shape} and {right.shape}: {error}. Hint: i counts the rows of A, j the "
            "columns of B, and k both the columns of A and the rows of B."
        ) from error
    assert np.any(answer), "product returns only zeros yet. Fill the blank: add to result[i, j]."
    assert np.array_equal(answer, np.matmul(left, right)), (
        f"For\n{left}\nand\n{right}\nexpected\n{np.matmul(left, right)}, got\n{answer}\nHint: is every k added up?"
    )
print("All right: this is what np.dot does.")
