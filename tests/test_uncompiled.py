"""What the first picture waits for does not import torch's compiler, and what uses the compiler still can.

That no verb imports it is tested in test_start.py.
"""

import json
import subprocess
import sys

import pytest

WORKS = """
import torch
from artcli.pretrained.clip import library
{first}
library()
import torchvision.ops
boxes = [torch.tensor([[0.0, 0, 4, 4]])]
assert torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 1).shape == (1, 1, 1, 1)
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(())) == 2
assert torch.compiler.disable(len)("ab") == 2
"""
WANTED_MEANWHILE = """
from artcli.uncompiled import uncompiled
with uncompiled():
    from torch._dynamo.utils import counters
    import torch._dynamo
from torch._dynamo import utils
assert utils.counters is counters
"""
CASES = {
    "it works": WORKS.format(first=""),
    "also when it was there before": WORKS.format(first="import torch._dynamo"),
    "what wants it meanwhile gets it": WANTED_MEANWHILE,
}
# Each in a process of its own; torch and what its compiler needs take most of the time and are there in all of them.
EACH_IN_A_FORK = """
import json, os, sys, traceback, sympy, torch
for name, code in json.load(sys.stdin).items():
    if (child := os.fork()) == 0:
        try:
            exec(code, {})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(name if os.waitpid(child, 0)[1] else "", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_the_compiler_still_works():
    done = subprocess.run(
        [sys.executable, "-c", EACH_IN_A_FORK], input=json.dumps(CASES), capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
