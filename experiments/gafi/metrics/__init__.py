"""What is measured: CAS, distances of features, acceptance of the filter; float64, on the host."""
