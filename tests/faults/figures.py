"""What the rounds came to, for each back end."""

from collections import Counter
from dataclasses import dataclass, field

from cdp_image_mcp.request import BackendName


@dataclass
class Side:
    """One back end's figures. ``lost``, ``doubled``, ``untrue``, ``unanswered`` and ``left`` list what went wrong, in
    words."""

    rounds: int = 0
    requests: int = 0
    pictures: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    not_possible: Counter[str] = field(default_factory=Counter[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    """In which state the records ended."""
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    untrue: list[str] = field(default_factory=list[str])
    unanswered: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])

    @property
    def missed(self) -> set[str]:
        """Faults that were planned and never found anything to hit."""
        return self.not_possible.keys() - self.faults.keys()

    @property
    def problems(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.untrue, *self.unanswered, *self.left]

    def __str__(self) -> str:
        skipped = f" (found nothing to hit: {listed(self.not_possible)})" if self.not_possible else ""
        return (
            f"rounds {self.rounds}, requests {self.requests}, pictures {self.pictures}; "
            f"records: {listed(self.ends)}; faults: {listed(self.faults)}{skipped}; lost {len(self.lost)}, "
            f"doubled {len(self.doubled)}, untrue records {len(self.untrue)}, unanswered {len(self.unanswered)}, "
            f"left {len(self.left)}"
        )


@dataclass
class Figures:
    """Both back ends' figures."""

    web: Side = field(default_factory=Side)
    api: Side = field(default_factory=Side)

    def side(self, backend: BackendName) -> Side:
        return self.api if backend == "api" else self.web

    @property
    def problems(self) -> list[str]:
        return [*self.web.problems, *self.api.problems]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {side}" for name, side in (("web", self.web), ("api", self.api)) if side.rounds)


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
