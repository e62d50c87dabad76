"""Fine-tune a language model on the captions of a hashtag and write new ones in its voice.

The scripts pull_and_clean.py and tune_transformer.py use it; DOCS.md describes every option and file.
Importing the package imports nothing else.
"""

__version__ = "0.1.0"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of this package, of Python and of those ``packages`` that are installed."""
    import platform
    from importlib import metadata

    found = {"hugging_captions": __version__, "python": platform.python_version()}
    return found | {distribution.name: distribution.version for name in packages for distribution in metadata.distributions(name=name)}
