"""Random search: draw hyper-parameters, train with them, and do so again."""

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet._core.checks import check_count
from xpnet._core.terminal import printable
from xpnet.errors import ArgumentError
from xpnet.search.result import SearchResult, Trial
from xpnet.search.space import Distribution, check_space
from xpnet.training.history import History

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["random_search"]

_HOPELESS = 3  # so many failures, and nothing else so far, mean a mistake in the program and not bad luck


def random_search(
    train: Callable[..., History | float],
    space: Mapping[str, Distribution],
    trials: int = 100,
    seed: int | None = None,
    *,
    verbose: bool = True,
    callbacks: Sequence[Callable[[SearchResult], None]] = (),
) -> SearchResult:
    """Draw hyper-parameters at random, train with them, and do so again; keep all that comes of it.

    The score decides, and a test set must not: whoever chooses by it has nothing left to test with. So a `History`
    counts by the last accuracy on the validation set (``Trainer(..., validation=0.2)``), and by nothing else.

    Parameters
    ----------
    train
        Called with a value for each parameter, by name: ``train(lr=0.01, weight_decay=1e-6)``. It returns a `History`,
        or a number, higher is better: for a regression ``-history.val_loss[-1]``, with an `EarlyStopping` its ``best``.
    space
        Name of the parameter: `Uniform`, `LogUniform`, `Choice`, or whatever else has a method ``draw(rng)``.
    trials
        How many to make.
    seed
        For the draws, which are the same for the same seed and space: those of the tenth trial do not depend on how
        many follow, nor on what `train` does. None for other draws each time; the result says which seed it was.
    verbose
        Show a progress bar where there is a terminal, and print a line at the end.
    callbacks
        Functions that are called with the result so far after each trial.

    Returns
    -------
    SearchResult
        After a KeyboardInterrupt that of the trials that were done, with a warning; the interrupt itself where there
        were none.

    Raises
    ------
    ArgumentError
        For what `train` should not return, such as a history without a validation set.
    Exception
        What `train` raises fails its trial, with a warning, and the search goes on; but it is raised where nothing else
        has come of the first three trials, or of all.

    Examples
    --------
    >>> import math
    >>> from xpnet.search import LogUniform, Uniform, random_search
    >>> def train(lr, hidden_size):  # this would make a network, and return trainer.train()
    ...     return 1 - (math.log10(lr) + 1) ** 2 / 25 - (hidden_size - 50) ** 2 / 1e4
    >>> space = {"lr": LogUniform(1e-6, 1), "hidden_size": Uniform(10, 100, whole=True)}
    >>> result = random_search(train, space, trials=20, seed=0, verbose=False)
    >>> print(result.table(3))
      rank    score      lr    hidden_size    seconds
    ------  -------  ------  -------------  ---------
         1   0.9996   0.107             52        0.0
         2   0.9900   0.199             42        0.0
         3   0.9891  0.0702             60        0.0
    """
    count = check_count("trials", trials)
    try:
        sequence = np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"seed must be a whole number of at least 0, or None, got {seed!r}.") from error
    if not callable(train):
        raise ArgumentError(f"train must be a function of the parameters, got {train!r}.")
    check_space(space)
    from tqdm.auto import tqdm

    result = SearchResult([], dict(space), sequence.entropy)  # type: ignore[arg-type]  # a seed is one number here
    try:
        # disable=None: no bar where the output is no terminal
        with tqdm(total=count, desc="search", unit="trial", disable=None if verbose else True) as bar:
            for child in sequence.spawn(count):
                rng = np.random.default_rng(child)
                params = {name: distribution.draw(rng) for name, distribution in space.items()}
                result.trials.append(_try(train, params, result.trials, count))
                _advance(bar, result)
                for callback in callbacks:
                    callback(result)
    except KeyboardInterrupt:
        if not result.trials:
            raise
        warnings.warn(f"Interrupted: {len(result.trials)} of {count} trials were done.", stacklevel=2)
    if verbose:
        print(printable(str(result)))  # noqa: T201
    return result


def _try(train: Callable[..., History | float], params: dict[str, Any], earlier: Sequence[Trial], count: int) -> Trial:
    """One trial. What it raises is kept and told, unless nothing but failures has come of the search so far."""
    begun = time.perf_counter()
    bearable = min(_HOPELESS, count)
    score, history, reason = math.nan, None, ""
    try:
        outcome = train(**copy.deepcopy(params))  # a list, or an optimizer, that train changes is not the record
        bearable = 1  # train returns the wrong thing at each trial, and a trial may take long
        score, history = _scored(outcome)
    except Exception as error:
        if len(earlier) + 1 >= bearable and all(trial.error for trial in earlier):
            error.add_note(f"This was trial {len(earlier) + 1} of a search, with {params}; all before it failed too.")
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if math.isnan(score):
        reason = reason or "the score is nan"
        warnings.warn(f"Trial {len(earlier) + 1} failed, with {params}: {reason}", stacklevel=3)
    return Trial(params, score, history, time.perf_counter() - begun, reason)


def _scored(outcome: Any) -> tuple[float, History | None]:
    """The score of what `train` returned, and the history where it was one."""
    if isinstance(outcome, History):
        if not outcome.val_acc:
            raise ArgumentError(
                "train returned a History without accuracies on a validation set, and by those on the test set no "
                "parameter may be chosen. Give the trainer a validation set, as with `validation=0.2`, and "
                "after a regression end with `return -history.val_loss[-1]`."
            )
        return float(outcome.val_acc[-1]), outcome
    try:
        return float(outcome.__float__()), None  # float(outcome) would read a string as well
    except (AttributeError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"train must return a History or a number, higher is better, got {outcome!r:.80}. "
            "Let it end with `return trainer.train()`."
        ) from error


def _advance(bar: "tqdm[Any]", result: SearchResult) -> None:
    """Show on the bar that a trial is done, and the best so far."""
    best = result.ranked[0]
    if not math.isnan(best.score):
        bar.set_postfix_str(f"best {best.score:.4f} with {best}", refresh=False)
    bar.update()
