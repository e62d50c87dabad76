"""A checkpoint to captions in text/generated_text/<tag>_gen.txt."""
