"""From trades to a model version: data set, labels, fit and measures."""
