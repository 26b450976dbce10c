"""The generated pages of the documentation.

A module in this package that has `PAGES`, from a path under `docs/` to a function that returns the
page's text, is found by itself: `tools/generate_docs.py` writes its pages, and checks them.
"""
