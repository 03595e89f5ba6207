"""Random search for hyper-parameters."""

from xpnet.search.random import random_search
from xpnet.search.result import SearchResult, Trial
from xpnet.search.space import Choice, Distribution, LogUniform, Uniform

__all__ = ["Choice", "Distribution", "LogUniform", "SearchResult", "Trial", "Uniform", "random_search"]
