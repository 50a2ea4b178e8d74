"""The command `tracking`: scores of track identities against ground truth."""
