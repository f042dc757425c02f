"""What a round of a pipeline is expected to take and to give."""
