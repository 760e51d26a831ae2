"""objectcut serve: the HTTP service."""
