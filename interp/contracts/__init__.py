"""What a task, an architecture, a loss, an optimiser, an intervention and an imported run owe to the rest."""
