"""Which draft model for a target, if any: measured in a few passes, predicted, ranked, tried."""
