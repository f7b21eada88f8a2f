"""What is recorded runs in environments of its own: nothing here is a test."""

collect_ignore_glob = ["*.py", "programs/*"]
