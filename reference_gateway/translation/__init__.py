"""Between the two chat dialects: requests, replies and streams, all pure. I/O belongs to `upstream` and `relay`."""
