"""The live page of a run (--web): a process of its own beside the pipeline, which this folder starts and ends."""
