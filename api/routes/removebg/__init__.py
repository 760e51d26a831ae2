"""The contract of remove.bg's API v1.0, so that its clients need no more than another base address."""
