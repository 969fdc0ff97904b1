"""What the operating system gives: files, locks, processes, signals, tasks. Knows nothing of pictures."""
