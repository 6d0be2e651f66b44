"""How fast, how big, how trustworthy: every module prints a table and asserts nothing."""
