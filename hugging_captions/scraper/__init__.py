"""A hashtag's posts, from Instagram or from files, to text/<tag>/posts.jsonl."""
