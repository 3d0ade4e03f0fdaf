"""How the cluster's Python workers come to be: forked, with everything loaded, instead of started from nothing."""
