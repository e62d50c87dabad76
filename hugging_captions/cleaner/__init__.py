"""text/<tag>/posts.jsonl to captions.txt, and a reason for every post that is dropped."""
