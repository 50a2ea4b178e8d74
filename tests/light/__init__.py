"""The extra `light` in an environment without torch: `make light`."""
