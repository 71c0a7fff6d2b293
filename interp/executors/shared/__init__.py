"""What several executors, and those who use them, share."""
