"""A program that may have only so much memory."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import xpnet


def run_within(megabytes, code, imports=""):
    """The last line that a program prints which may have so much more memory of its own than its imports took.

    Of its own: pages of a mapped file, which the system takes back as it likes, are not counted. Linux only.
    """
    program = f"""
        import resource, warnings
        import numpy as np
        import tqdm.auto
        from xpnet import Trainer, TwoLayerNet, load_image_folder
        {imports}

        np.ones((300, 300)) @ np.ones((300, 300))  # now OpenBLAS has the memory that it works in
        taken = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (taken + int({megabytes} * 2**20),) * 2)
        warnings.simplefilter("ignore")
    """
    program = textwrap.dedent(program) + textwrap.dedent(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(xpnet.__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
