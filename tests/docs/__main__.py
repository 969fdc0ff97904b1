"""``python -m tests.docs``: write every generated part again and name the files that changed."""

import sys

from tests.docs.documents import DOCUMENTS, rendered


def main() -> int:
    for path in DOCUMENTS:
        text = rendered(path)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
