"""Before anything imports Triton: without a GPU its kernels run in the interpreter."""

import os
import shutil

if not shutil.which("nvidia-smi"):
    os.environ["TRITON_INTERPRET"] = "1"
