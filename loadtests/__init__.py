"""The load test: locust users that read event streams as exactly as a client on gevent can.

    locustfile   what locust loads: registers this package, hooks the counters into locust's events
    users        locust users; each task is one stream
    streaming    one stream from request to outcome
    connection   one connection: a persistent watcher, one timestamp per read, HTTP framing
    dialling     opens TCP connections
    dialect      what a stream says, and whether it is whole; chat and messages are the two dialects
    sse          bytes to events
    recorder     counters, sampled records, the watch over the client's own event loop
    workers      figures of worker processes on their way to the master: complete, or named as missing

Only `locustfile`, `users` and `workers` import locust (which patches the process); the rest can be driven by any
gevent program. `weighbridge load` runs it as a child process; `locust -f loadtests/locustfile.py` works
too, and takes its target from WEIGHBRIDGE_TARGET.
"""
