"""The load test's own side: what is asked for, what was counted, what it means, and how it is shown.

Everything here runs in the main process, which gevent never enters; the client that makes the load lives in
`loadtests` and shares only the plan and the counters with this package.

    command     options to exit code: the whole run
    plan        what is sent; lanes    the kinds of calls and their shares; arrivals, shapes    when calls start
    processes   the children: locust, and the embedded pair (pair)
    figures     counters, merged exactly (histogram); gates and trust judge them; money reconciles the bill
    verdicts    recorded streams judged by the rows of the catalogue
    show, report, page, export    console, JSON, HTML, JUnit and Markdown
"""
