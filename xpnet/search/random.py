"""Random search: draw hyper-parameters, train with them, and repeat."""

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xpnet._core.checks import check_count
from xpnet._core.terminal import printable
from xpnet.errors import ArgumentError
from xpnet.search.result import SearchResult, Trial
from xpnet.search.space import Distribution, check_space
from xpnet.training.history import History

_MAX_FIRST_FAILURES = 3  # only failures so far mean a mistake in the program


def random_search(
    train: Callable[..., History | float],
    space: Mapping[str, Distribution],
    trials: int = 100,
    seed: int | None = None,
    *,
    verbose: bool = True,
    callbacks: Sequence[Callable[[SearchResult], None]] = (),
) -> SearchResult:
    """Draw hyper-parameters at random, train with them, repeat, and return all trials.

    The score of a `History` is its last validation accuracy (``Trainer(..., validation=0.2)``). Test accuracies are not
    used, because a test set must not choose parameters.

    Parameters
    ----------
    train
        Called with the parameters by name, as in ``train(lr=0.01, weight_decay=1e-6)``. Returns a `History`, or a
        score, higher is better: for a regression ``-history.val_loss[-1]``, with an `EarlyStopping` its ``best``.
    space
        `Uniform`, `LogUniform`, `Choice`, or any object with a method ``draw(rng)``, by name of the parameter.
    trials
        Number of trials.
    seed
        Seed of the draws. Those of a trial do not depend on the number of trials, nor on `train`. None for different
        draws each time; the result has the seed.
    verbose
        Show a progress bar on a terminal, and print a line at the end.
    callbacks
        Functions called with the current result after each trial.

    Returns
    -------
    SearchResult
        After a KeyboardInterrupt, the result of the finished trials, with a warning; without any, the interrupt is
        raised.

    Raises
    ------
    ArgumentError
        For an invalid result of `train`, such as a history without a validation set.
    Exception
        An error of `train` fails its trial, with a warning. It is raised if the first three trials, or all, failed.

    Examples
    --------
    >>> import math
    >>> from xpnet.search import LogUniform, Uniform, random_search
    >>> def train(lr, hidden_size):  # would train a network and return trainer.train()
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
        # disable=None: no bar unless on a terminal
        with tqdm(total=count, desc="search", unit="trial", disable=None if verbose else True) as bar:
            for child in sequence.spawn(count):
                rng = np.random.default_rng(child)
                params = {name: distribution.draw(rng) for name, distribution in space.items()}
                result.trials.append(_try(train, params, result.trials, count))
                best = result.ranked[0]
                if not math.isnan(best.score):
                    bar.set_postfix_str(f"best {best.score:.4f} with {best}", refresh=False)
                bar.update()
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
    """Run one trial. Its error becomes a warning, unless all trials so far have failed."""
    begun, number = time.perf_counter(), len(earlier) + 1
    max_failures = min(_MAX_FIRST_FAILURES, count)
    score, history, reason = math.nan, None, ""
    try:
        outcome = train(**copy.deepcopy(params))  # copies, because `train` may change a list or an optimizer
        max_failures = 1  # an invalid result will recur, and a trial may take long
        score, history = _scored(outcome)
    except Exception as error:
        if number >= max_failures and all(trial.error for trial in earlier):
            error.add_note(f"This was trial {number} of a search, with {params}; all trials before it failed too.")
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if math.isnan(score):
        reason = reason or "the score is nan"
        warnings.warn(f"Trial {number} failed, with {params}: {reason}", stacklevel=3)
    return Trial(params, score, history, time.perf_counter() - begun, reason)


def _scored(outcome: Any) -> tuple[float, History | None]:
    """The score of a result of `train`, and the history if it is one."""
    if isinstance(outcome, History):
        if not outcome.val_acc:
            raise ArgumentError(
                "train returned a History without validation accuracies, and test accuracies must not choose "
                "parameters. Give the trainer a validation set, as with `validation=0.2`, and "
                "after a regression end with `return -history.val_loss[-1]`."
            )
        return float(outcome.val_acc[-1]), outcome
    try:
        return float(outcome.__float__()), None  # float(outcome) would also read a string
    except (AttributeError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"train must return a History or a number, higher is better, got {outcome!r:.80}. "
            "Let it end with `return trainer.train()`."
        ) from error
