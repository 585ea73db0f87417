"""The rows of the table, one kind of work in each module; each has `rows()`."""
