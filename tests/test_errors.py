"""The tree of exceptions: as it is drawn, caught by the built-in errors it says, and the same after pickling."""

import builtins
import pickle
import re

import pytest

from xpnet import errors

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type)]


def drawn():
    """The tree of the module's docstring: (name, parent, built-in error or None)."""
    above = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([ │]*)(?:[├└]── )?(\w+Error|Exception)\b(?: +\((\w+)\))?", line)
        if match is None:
            continue
        depth = line.index(match[2])
        above = [(column, name) for column, name in above if column < depth]
        yield match[2], above[-1][1] if above else None, match[3]
        above.append((depth, match[2]))


def test_it_is_as_it_is_drawn():
    tree = list(drawn())
    assert tree[0] == ("Exception", None, None)
    assert sorted(name for name, *_ in tree[1:]) == sorted(kind.__name__ for kind in CLASSES)
    for name, parent, builtin in tree[1:]:
        bases = [getattr(errors, parent, None) or getattr(builtins, parent)]
        bases += [getattr(builtins, builtin)] if builtin else []
        assert list(getattr(errors, name).__bases__) == bases, name


@pytest.mark.parametrize("kind", CLASSES)
def test_each_is_one_of_xpnets_and_survives_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("what came")))
    assert type(error) is kind
    assert str(error) == "what came"
    with pytest.raises(errors.XpnetError, match="what came"):
        raise error
    assert kind.__doc__
