"""The command `activity`: what the motion gate does on a recording, and what it saves."""
