"""`objectcut bulk`: from one folder or bucket into another, on a Ray cluster. It needs `objectcut[ray]`."""
