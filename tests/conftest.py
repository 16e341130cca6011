"""One thread a process: tests run side by side on every core, and threads of several processes wait for one another."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch or numpy
