"""Computational graphs: values flow forward, derivatives flow backward (course row 10).

Every number below is computed by a layer: the result of `forward` goes to the right, the result of `backward` to the
left. The graphs are drawn as pictures if Graphviz is installed, and as text otherwise.
"""

from xpnet import AddLayer, Graph, MulLayer, sigmoid
from xpnet.graph import ExpLayer, ReciprocalLayer, SquareLayer

# %% Two apples at 100, and 10 % tax
graph = Graph("Two apples")
apple, apple_num, tax = graph.variable("apple", 100), graph.variable("apple_num", 2), graph.variable("tax", 1.1)
apple_price = graph.apply(MulLayer(), apple, apple_num)
price = graph.apply(MulLayer(), apple_price, tax, name="price")
graph.backward()
print(graph)
print("price:", int(price.value))
print("dApple_price:", apple_price.gradient)
print(f"dApple: {apple.gradient}, dApple_num: {int(apple_num.gradient)}, dTax: {tax.gradient}")
print("Written:", graph.draw("output/course/10_apples.png"))

# %% Two apples and three oranges
graph = Graph("Two apples and three oranges")
apple, apple_num = graph.variable("apple", 100), graph.variable("apple_num", 2)
orange, orange_num, tax = graph.variable("orange", 150), graph.variable("orange_num", 3), graph.variable("tax", 1.1)
apple_price = graph.apply(MulLayer(), apple, apple_num)
orange_price = graph.apply(MulLayer(), orange, orange_num)
all_price = graph.apply(AddLayer(), apple_price, orange_price)
price = graph.apply(MulLayer(), all_price, tax, name="price")
graph.backward()
print(graph)
print("price:", int(price.value))
print(f"dApple: {apple.gradient}, dApple_num: {int(apple_num.gradient)}")
print(f"dOrange: {orange.gradient}, dOrange_num: {int(orange_num.gradient)}, dTax: {tax.gradient}")
print("Written:", graph.draw("output/course/10_apples_and_oranges.png"))

# %% The chain rule: z = (x + y)^2 has dz/dx = 2 (x + y)
graph = Graph("z = (x + y)²")
x, y = graph.variable("x", 3), graph.variable("y", 4)
z = graph.apply(SquareLayer(), graph.apply(AddLayer(), x, y, name="t"), name="z")
graph.backward()
print(graph)
print(f"dz/dx: {x.gradient}, 2 (x + y): {2 * (x.value + y.value)}")
print("Written:", graph.draw("output/course/10_chain_rule.png"))

# %% The sigmoid, 1 / (1 + exp(-x)), as four nodes; its derivative is y (1 - y)
graph = Graph("y = 1 / (1 + exp(-x))")
x = graph.variable("x", 1.0)
exp = graph.apply(ExpLayer(), graph.apply(MulLayer(), x, -1))
y = graph.apply(ReciprocalLayer(), graph.apply(AddLayer(), exp, 1), name="y")
graph.backward()
print(graph)
print(f"y: {float(y.value):.8f}, sigmoid(x): {float(sigmoid(x.value)):.8f}")
print(f"dy/dx: {float(x.gradient):.8f}, y (1 - y): {float(y.value * (1 - y.value)):.8f}")
print("Written:", graph.draw("output/course/10_sigmoid.png"))
