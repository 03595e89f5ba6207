"""Computational graphs (course row 10): their nodes, their values, and how they are drawn."""
