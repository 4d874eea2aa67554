"""What quantizers need to know of the data: collected, kept in a file, checked."""
