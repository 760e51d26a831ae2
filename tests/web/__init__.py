"""The page in a real browser, against `objectcut serve` with the shipped network: make test-web."""
