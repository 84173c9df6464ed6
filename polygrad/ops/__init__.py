"""Every op with its derivatives, one block each, one file per chapter of the standard."""
