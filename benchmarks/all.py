"""Run all benchmarks of a CPU: about twenty minutes on two cores.

    python benchmarks/all.py
    python benchmarks/table.py

The second command writes docs/benchmarks.md from the results. Use a machine that runs nothing else. Not included is
convolution_accuracy.py, which trains for an hour.
"""

import sys

import busy_core
import convolution
import evaluation
import grid
import import_time
import main_job
import memory
import multi_layer
import small_network
from program import main

PROGRAMS = (main_job, small_network, multi_layer, convolution, evaluation, memory, grid, busy_core, import_time)

if __name__ == "__main__":
    sys.exit(main([program.BENCHMARK for program in PROGRAMS], __doc__))
