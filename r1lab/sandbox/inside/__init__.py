"""What runs within the sandbox and keeps order there. It imports little: starting it costs time."""
