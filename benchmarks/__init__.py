"""The same work done by tickcast and by its peers, side by side on this machine."""
