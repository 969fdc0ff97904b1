"""The documents that follow from the code: made here, and held to the code by the tests beside it.

``python -m tests.docs`` writes them again.
"""
