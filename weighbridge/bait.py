"""Texts that look like secrets and open nothing. A probe plants them; a check looks where they turn up."""

#: Formed like a vendor's key, known to no deployment.
UNKNOWN_KEY = "sk-weighbridge-unknown-0000000000000000"
#: In a scripted error text of a provider.
UPSTREAM_SECRET = "sk-upstream-secret-0123456789"  # noqa: S105 - scripted bait
