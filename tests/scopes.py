"""What one process of the test run plays."""

SCENES = {f"tests/web/test_{name}.py" for name in ("combinations", "main_job", "variants")}


def scope_of(node: str) -> str:
    """What one process plays: a file; all scenes of the whole program, which share the processors as told there."""
    file = file_of(node)
    return "scenes" if file in SCENES else file


def file_of(node: str) -> str:
    return node.partition("::")[0]
