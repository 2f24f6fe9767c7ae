"""The load test's own side: what is asked for, what was counted, what it means, and how it is shown.

Everything here runs in the main process, which gevent never enters; the client that makes the load lives in
`loadtests` and shares only the plan and the counters with this package.

    options     what the command line takes
    command     options to exit code: the whole run
    planning    makes the plan from a target
    plan        what is sent
    lanes       the kinds of calls and their shares
    arrivals    when the calls of an open load start
    shapes      how many users or starts at which moment
    offer       whether this client can offer what was asked for
    processes   the children: locust, and the embedded pair
    direct      the same calls to the provider itself
    capacity    the highest level that meets the gates
    figures     counters, merged exactly
    histogram   latencies in cells, merged exactly
    gates       bounds on figures
    trust       whether the client's own figures can be believed
    truth       how late the client was, by the simulator's clock
    bill        charges against priced usage
    verdicts    recorded streams judged by the rows of the catalogue
    show        the console
    report      the result: exit code, lines, files
    document    load.json
    page        the HTML report
    page_plots  its plots
    page_style  its look
    charts      the parts of a plot, as SVG
    export      JUnit and Markdown
"""
