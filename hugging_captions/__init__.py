"""Fine-tune a language model on the captions of a hashtag and write new ones in its voice.

The two scripts beside this package are the way in; DOCS.md describes every option and file.
Importing the package imports nothing else.
"""

__version__ = "0.1.0"
