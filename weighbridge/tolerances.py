"""Every tolerance and bound of the harness, each with its reason. No other module invents one."""

from __future__ import annotations

#: A gateway may wait for a slow upstream; retrying ones were seen to hold a call for over 40 s while
#: they wait for Retry-After. Beyond this a client has given up.
CALL_TOTAL_S = 90.0

#: First byte of an answer: the longest documented wait of a non-streamed large call.
FIRST_BYTE_S = 90.0

#: TCP and TLS set-up to any host on earth takes well under a second; ten allows for a lost packet or two.
CONNECT_S = 10.0

#: After the last probe, upstream calls that are still open get this long to end before they are read.
UPSTREAM_SETTLE_S = 2.0

#: A client that hangs up is noticed by the next write at the latest; a stream here writes every 20 ms.
#: Two seconds allow for one lost packet and a busy machine.
CLIENT_LEFT_S = 2.0

#: A busy gateway has passed a call on by then; whoever leaves later leaves a call that is under way.
PASSED_ON_S = 0.5

#: A charge for a stream that was left is booked once the target has noticed; on one machine that takes milliseconds.
LEAVING_NOTICED_S = 0.2

#: A task of 50 ms at the provider is polled by workers every 1 to 2 s in the wild (S3 recommends that
#: cadence to clients); fifteen seconds is seven such polls.
TASK_DONE_S = 15.0

#: The same for a provider that is not ours: an image takes half a minute, a video several minutes.
REAL_TASK_DONE_S = 600.0

#: Retry-After counts whole seconds and windows are one second long (S3), so recovery may take one more.
RATE_WINDOW_SLACK_S = 1.0


#: Wait between two readings while money or a task settles; short against every settle time declared.
POLL_INTERVAL_S = 0.05

#: Wait between two polls of one task; ten requests per second are allowed (S3), so stay below.
TASK_POLL_INTERVAL_S = 0.12

#: The same for a provider that is not ours; S3 recommends one poll every 1 to 2 s.
REAL_TASK_POLL_INTERVAL_S = 1.5

#: A task that is due is looked at this much later: a gateway has to ask its provider, and to store the result.
TASK_SEEN_S = 0.25

#: Requests per second and user of the task gateway (S3, Rate limits, the default).
TASK_RATE_LIMIT = 10

#: A refund that has not come this long after `failed` was seen is taken for none; S3 promises it before.
LATE_REFUND_S = 1.0

#: No burst is larger: twice a limit of 100 and one more.
MAX_BURST = 201

#: Length of the task gateway's rate window (S3), and how long to be quiet so that a window is surely fresh.
RATE_WINDOW_S = 1.0
RATE_QUIET_S = 1.1

#: A job that runs this long at the provider is still running when a submission that does not wait is answered.
SLOW_TASK_S = 3.0

#: An unprovoked 429 without Retry-After: windows are a second long nearly everywhere.
BACK_OFF_S = 1.5

#: A probe that waits longer than this for a lease waits for ever: every holder is bounded by its calls, and a target
#: with one slow key serves some tens of them one after another.
LEASE_WAIT_S = 1800.0

#: A deployment that waits longer than this for a silent provider is not made to: the run would wait as long.
LONGEST_UPSTREAM_TIMEOUT_S = 10.0

#: However often a target says 429 unprovoked, calls of one principal are never further apart than this: at
#: one call in two seconds a limit that still refuses is no rate limit of one-second windows.
SLOWEST_GAP_S = 2.0

#: A gateway that restarts is back within some seconds; one that takes no connection for this long is gone.
DEAD_AFTER_S = 5.0
KNOCK_INTERVAL_S = 0.25

#: So many calls in a row without a first byte, each after its full patience, come from nothing alive.
SILENT_CALLS = 4

#: A connection that broke this shortly before the target was gone broke since it was going.
DYING_S = 2.0

#: One hook that tidies up gets this long, so that a dead operator API does not hold the report back.
CLEAN_UP_S = 10.0

#: The longest Retry-After that a run waits for.
MAX_BACK_OFF_S = 30.0

#: Pieces that arrive over this share of the time in which the provider made them were relayed as produced.
#: A relay shows all of it and a collector about nothing; the scripted streams take 600 ms, so a busy machine may
#: hold either side up for 360 ms before a verdict changes.
RELAY_SHARE = 0.4

#: How long a failure probe waits for a model to serve again; gateways were seen to take a failing model
#: out of service for 5 s.
RECOVERY_S = 12.0
RECOVERY_POLL_S = 1.0
