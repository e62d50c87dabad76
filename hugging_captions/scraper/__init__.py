"""A hashtag's posts, from Instagram or from files.

``open_session`` logs in, ``pull`` asks Instagram for a hashtag's posts, ``import_posts`` reads them from
files. Both write text/<tag>/posts.jsonl; ``pull`` also keeps text/<tag>/pull.json.
"""

from .archive import import_posts, plan_import
from .pull import plan_pull, pull
from .session import open_session

__all__ = ["import_posts", "open_session", "plan_import", "plan_pull", "pull"]
