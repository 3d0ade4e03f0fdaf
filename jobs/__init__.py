"""The streaming job: its settings, its topics, its topology."""
