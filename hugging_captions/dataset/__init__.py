"""text/<tag>/captions.txt to the held-out split and the token batches."""
