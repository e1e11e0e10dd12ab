"""Pre-training: the schedule, the optimisers, and the loop that survives a kill."""
