"""What the document cannot say of a request."""

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    """A cursor is nobody's to make up: where a request is to be right, it has none."""
    is_right = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if is_right and case.operation.label == "GET /api/v1/events" and case.query:
        case.query.pop("cursor", None)
