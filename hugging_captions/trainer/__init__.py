"""Token batches to a checkpoint in trained_models/<tag>/."""
