"""What each preset, and some single changes that users try, cost and bring on this machine: the command `presets`."""
