"""Checks: pure functions from evidence to findings. No clock, no socket, no randomness in here.

`findings` holds the small vocabulary all others use; `transcripts` and `message_events` read a stream once,
`charges` and `credit_changes` read what was taken between two moments. One module for each subject: replies,
streams, errors, upstream posts, money, tasks.
"""
