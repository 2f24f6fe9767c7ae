"""The task gateway: submissions are paid, handed to the media provider and polled; results live in our own storage."""
