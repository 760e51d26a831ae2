"""The networks, their engine, training and evaluation. torch lives here and nowhere else."""
