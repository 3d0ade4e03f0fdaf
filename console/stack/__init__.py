"""The local stack: every server that tickcast needs, run as a normal user's processes."""
