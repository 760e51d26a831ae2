"""What the service does under load: `make load`, `make soak`. Loopback only, bounded in count and time."""
