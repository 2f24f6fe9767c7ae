"""Who is calling: reads the credential from the headers and finds its account, before anything else is looked at.

Source: public docs, Authentication of each page (Bearer; the two workspaces do not share keys) and Errors
(10001 missing, 10002 not Bearer + key, 10003 invalid, 10004 revoked).
"""

from collections.abc import Mapping

from reference_gateway.accounts import Account, AccountDirectory, Key, Workspace
from reference_gateway.failures import Kind, refuse

_SCHEME = "bearer"


class Authenticator:
    """Accepts the keys of one workspace; the Messages surface also takes them from `x-api-key`."""

    def __init__(
        self, directory: AccountDirectory, workspace: Workspace, *, api_key_header: bool = False
    ) -> None:
        self._directory = directory
        self._workspace = workspace
        self._api_key_header = api_key_header

    def authenticate(self, headers: Mapping[str, str]) -> Account:
        """The account behind the credential; raises `GatewayError` with one of the five key failures."""
        key = self._directory.key_for(self.credential(headers))
        if key is None or not self.belongs_here(key):
            raise refuse(
                Kind.INVALID_KEY, "The API key is not valid here; issue a new key for this workspace."
            )
        if self.is_revoked(key):
            raise refuse(Kind.REVOKED_KEY, "The API key has been revoked; issue a new one.")
        if self.is_disabled(key):
            raise refuse(Kind.DISABLED_KEY, "The API key is disabled; enable it or use another one.")
        return key.account

    def credential(self, headers: Mapping[str, str]) -> str:
        """The secret as sent."""
        if self._api_key_header and (secret := headers.get("X-Api-Key", "").strip()):
            return secret
        value = headers.get("Authorization")
        if value is None:
            raise refuse(
                Kind.MISSING_KEY, "No API key was sent; send it as Authorization: Bearer YOUR_API_KEY."
            )
        scheme, _, secret = value.strip().partition(" ")
        secret = secret.strip()
        if scheme.lower() != _SCHEME or not secret or " " in secret:
            raise refuse(
                Kind.MALFORMED_KEY, "The Authorization header must be the word Bearer and one API key."
            )
        return secret

    def belongs_here(self, key: Key) -> bool:
        """Keys of the other workspace are as good as unknown."""
        return key.account.workspace is self._workspace

    def is_revoked(self, key: Key) -> bool:
        """Whether the key has been withdrawn."""
        return key.revoked

    def is_disabled(self, key: Key) -> bool:
        """Whether the key is switched off for now."""
        return key.disabled
