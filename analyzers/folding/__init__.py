"""Facts as cells: exact, mergeable integers that do not know of any release."""
