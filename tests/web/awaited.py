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
    "73": "Work is not noticed in radios",
    "73b": "Work is not noticed beside the form",
    "73c": "an opened Work conversation is written into",
    "74": "a tool left on is sent along",
    "74b": "an app left on is sent along",
    "74c": "a tool's pill is sent along",
    "74e": "a tool left on beside the picture tool is sent along",
    "75": "an address that became a pill is not read back",
    "75b": "an address that became a pill is not read back",
    "76d": "a document's card is not seen as ours",
    "76f": "a failed upload is not noticed",
    "76i": "an old card without a control is sent along",
    "77": "a composer that is late is taken for a changed site",
    "77b": "a composer that is late is taken for a changed site",
    "78": "a page whose script did not load is not loaded once more",
    "81": "the cookie banner is not answered",
    "81c": "the cookie banner is not answered",
    "82": "a check on a counting call is taken for one on the prompt",
    "84": "a prompt refused with 500 is waited for where the page has no ids",
    "84c": "unusual activity is not told as a check",
    "86": "a later prompt of the person's is taken for ours",
    "86b": "a later prompt of the person's is taken for ours",
    "88": "stated dimensions count more than the exact length",
    "88b": "a picture whose file is stated wrongly is never saved",
    "89": "a preview is saved while the final file loads",
    "92": "a window that the page opened is not closed",
    "93": "text_only does not name the model",
    "95": "refusals of this form are not known",
}
