"""The refusal of a request: raised wherever a request is read, rendered once in the provider's own dialect."""


class Refusal(Exception):  # noqa: N818 - an answer that a provider gives, not a failure of the program
    """The provider refuses the request with `status` and one sentence.

    `param` names the offending request field and `code` the dialect's own error code, where a dialect has a
    place for them; `headers` come on top of the usual ones.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers

    def __reduce__(self) -> tuple[type["Refusal"], tuple[object, ...]]:
        """A refusal may cross from the process that keeps the state to the one that asked."""
        return Refusal, (self.status, self.message, self.param, self.code, self.headers)


def bad_request(message: str, param: str | None = None) -> Refusal:
    return Refusal(400, message, param)
