"""What several interventions share."""
