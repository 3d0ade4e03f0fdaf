"""What a symbol and the market remember; the arithmetic knows nothing of Flink."""
