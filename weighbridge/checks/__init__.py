"""Checks: pure functions from evidence to findings. No clock, no socket, no randomness in here.

`findings` holds the small vocabulary all others use. One module for each subject: replies, streams,
errors, upstream posts, money, tasks.
"""
