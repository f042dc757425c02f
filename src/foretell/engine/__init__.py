"""The native backend's inside: tensor graph, kernels, weights, key-value cache, thread team."""
