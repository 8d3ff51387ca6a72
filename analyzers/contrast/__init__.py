"""One statistical test per file; every one turns arm totals into e-processes."""
