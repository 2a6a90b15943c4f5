"""What models are, take and cost: a snapshot that works offline, checks, and estimates."""
