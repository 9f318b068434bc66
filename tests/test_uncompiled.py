"""What the first picture waits for does not import torch's compiler, and what uses the compiler still can."""

import subprocess
import sys

import pytest


def run(code):
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_clip_and_prior_load_without_the_compiler():
    code = """if True:
        import sys, torch
        from artcli.pretrained import clip, diffusion
        clip.load("clip-mini", torch.device("cpu")), diffusion.load("diffusion-mini", torch.device("cpu"))
        print("torch" in sys.modules, any(name.startswith("torch._dynamo") for name in sys.modules))"""
    assert run(code) == ["True", "False"]


@pytest.mark.parametrize("first", ["pass", "import torch._dynamo"])
def test_the_compiler_still_works(first):
    code = f"""if True:
        import torch
        from artcli.pretrained.clip import library
        {first}
        library()
        import torchvision.ops
        boxes = [torch.tensor([[0.0, 0, 4, 4]])]
        print(tuple(torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 1).shape) == (1, 1, 1, 1))
        print(float(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(()))))
        print(torch.compiler.disable(len)("ab"))"""
    assert run(code) == ["True", "2.0", "2"]


def test_what_uses_the_compiler_while_it_is_imported_gets_it():
    code = """if True:
        import torch
        from artcli.uncompiled import uncompiled
        with uncompiled():
            from torch._dynamo.utils import counters
            import torch._dynamo
        from torch._dynamo import utils
        print(utils.counters is counters)"""
    assert run(code) == ["True"]
