"""What pages take from the program and its locks: figures of hardware, error messages, notices of others."""
