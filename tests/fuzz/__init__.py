"""A fuzzer over what cameras send and over configuration files: `make fuzz`, and a part of it in `make faults`.

An input is made from a number, its seed, and nothing else. To see what one input does:

    python -m tests.fuzz 123            # a camera
    python -m tests.fuzz --reload 123   # a configuration file
"""
