"""The reward lab: score completions, audit golds, play known hacks; no GPU and no training."""
