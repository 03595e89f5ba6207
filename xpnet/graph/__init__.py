"""Computational graphs (course row 10): their nodes, their values, and how they are drawn."""

from xpnet.graph.graph import Graph
from xpnet.graph.network_graph import network_graph
from xpnet.graph.nodes import AddLayer, ExpLayer, MulLayer, ReciprocalLayer, SquareLayer

__all__ = ["AddLayer", "ExpLayer", "Graph", "MulLayer", "ReciprocalLayer", "SquareLayer", "network_graph"]
