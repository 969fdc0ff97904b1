"""Rows of the table of variants that the program fails today, and what it lacks.

A row that stands here is expected to fail, strictly: the change that mends it takes its line away. A key stands for all
pages, or with the name of one (`84-october`) for that page alone.
"""

__all__ = ["AWAITED"]

AWAITED: dict[str, str] = {
    "63k": "flat lists are not read: words after a hand-off are never seen",
    "64f": "flat lists are not read: words after a hand-off are never seen",
    "67f": "words in the stream are taken for a refusal before the picture that follows them",
    "68": "a conversation that the stream did not name is not looked for in the page's own list",
    "82": "a check on a counting call is taken for one on the prompt",
    "84": "a prompt refused with 500 is waited for where the page has no ids",
    "84c": "unusual activity is not told as a check",
    "86": "a later prompt of the person's is taken for ours",
    "86b": "a later prompt of the person's is taken for ours",
    "88": "stated dimensions count more than the exact length",
    "88b": "a picture whose file is stated wrongly is never saved",
    "89": "a preview is saved while the final file loads",
    "93": "text_only does not name the model",
    "95": "refusals of this form are not known",
}
