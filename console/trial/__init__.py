"""Trials of tickcast on a stack of their own: failures at random moments, and long runs."""
