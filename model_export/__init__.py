"""From data to a bundle: sources, examples, train, export, quantise, verify, package, report."""
