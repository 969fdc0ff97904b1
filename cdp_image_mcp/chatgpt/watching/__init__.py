"""One turn as it is watched: both witnesses, who listens to them, and the rule that says when it is over."""
