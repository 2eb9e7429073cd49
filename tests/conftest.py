"""Before anything imports NumPy, torch or Triton: one thread for a process, since the tests share
the cores among processes; without a GPU the kernels run in the interpreter.
"""

import os
import shutil

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not shutil.which("nvidia-smi"):
    os.environ["TRITON_INTERPRET"] = "1"
