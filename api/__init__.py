"""Everything that touches the outside: HTTP, bytes from strangers, storage, the command line."""
