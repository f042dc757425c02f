"""What runs in rivals' processes, under interpreters that need not have Foretell: see `lines`."""
