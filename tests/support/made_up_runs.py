"""A run of a benchmark that was never made, for the tests of what is said of runs."""


def run(seconds=1.0, **changed):
    return {
        "seconds": seconds,
        "losses": [2.3, 2.2, 2.1],
        "test_accuracy": 0.97,
        "steps": 10_000,
        "batch": 100,
    } | changed
