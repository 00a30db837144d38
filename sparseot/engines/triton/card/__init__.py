"""What kernels ask of a card: how they are launched, recorded and timed, and what is kept of that in files."""
