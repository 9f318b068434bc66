"""The models that `artgen train` knows, one file or folder each; `training/registry.py` lists them."""
