"""Inference in other processes than the service's: workers, what speaks to them, what keeps them alive."""
