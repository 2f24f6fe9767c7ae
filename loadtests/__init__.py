"""The load test: locust users that read event streams as exactly as a client on gevent can.

    locustfile   what locust loads: registers this package, hooks the counters into locust's events
    settings     the plan of a plain locust, from variables
    users        locust users; each task is one call
    opening      open arrivals: each call starts when it is due
    alarm        a clock that wakes a greenlet on time
    pacing       keeps calls below a limit that the target declares
    streaming    one call from request to outcome
    hanging      tells a call that hangs from one that the end of the test cuts off
    connection   one connection: a persistent watcher, one timestamp per read, HTTP framing
    dialling     opens TCP connections
    timed        one streamed response: its moments, its events, its bytes
    dialect      what a stream says, and whether it is whole
    chat         the dialect of chat completions
    messages     the dialect of messages
    sse          bytes to events
    whole        replies in one piece: unstreamed answers, media tasks
    recorder     counters, sampled records, the watch over the client's own event loop
    workers      figures of worker processes on their way to the master: complete, or named as missing
    web_page     the plots in locust's web UI
    ability      how many calls a second this client can make at most

Only `locustfile`, `users`, `workers` and `web_page` import locust (which patches the process); the rest can be driven by any
gevent program. `weighbridge load` runs it as a child process; `locust -f loadtests/locustfile.py` works
too, and takes its target from WEIGHBRIDGE_TARGET.
"""
