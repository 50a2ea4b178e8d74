"""What runs the stages: channels, the door, threads and device lanes. It knows nothing of people."""
