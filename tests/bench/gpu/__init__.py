"""One command that proves and measures the CUDA path in under eight minutes: `make gpu` (docs/gpu.md).

`__main__` runs the steps one after the other, each in its own process with a time limit, and writes gpu.json, gpu.md
and trace.json.gz. Only the standard library is imported before the packages of the kit (`kit`) can be found.
"""
