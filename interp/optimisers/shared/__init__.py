"""What several optimisers share."""
