"""What Flink calls to score: model versions and the vectorized scoring of ticks."""
