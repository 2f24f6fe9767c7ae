"""The defects that any tester with a URL, a key and a model could see.

Chosen before any tool was run on them, one for each way in which a chat completion can be wrong for an ordinary client:
keys, request shapes, members of a reply, the grammar of a stream, the completeness of a text. Nothing in it needs money,
a second account, or a view of the provider. Each of them is in force on the model that the tools are pointed at.
"""

COMMON_SET = (
    "unknown-key-served",
    "no-key-served",
    "key-repeated-in-401",
    "flat-error-envelope",
    "bad-json-500",
    "bad-json-html",
    "unknown-model-substituted",
    "missing-model-defaulted",
    "shape-error-422",
    "temperature-clamped",
    "stream-ignored",
    "stream-false-streams",
    "reply-as-plain-text",
    "reply-id-empty",
    "reply-id-repeats",
    "reply-object-wrong",
    "model-not-echoed",
    "created-in-milliseconds",
    "choices-from-one",
    "content-as-parts",
    "usage-missing",
    "usage-as-text",
    "total-is-no-sum",
    "done-missing",
    "done-twice",
    "finish-missing",
    "chunk-id-changes",
    "chunk-object-wrong",
    "stream-as-json",
    "stream-collected",
    "pieces-trimmed",
)
