"""What the errors of filters advise where the kind of a term does not suit: to compare it, or to take it. Pure."""

from collections.abc import Set as AbstractSet

from gristmill.datasets.local_forms import local_form
from gristmill.datasets.mapping import quoted
from gristmill.datasets.terms import HOW, INSTANT, NUMERIC, Term

_OTHERS = "(other texts become NULL)"
_NO_TEXT = frozenset(["nested", "binary", "interval"])  # which text() does not take


def to_compare(op: str, left: Term, right: Term, mirrored: str) -> str:
    """The whole error about two terms that cannot be compared. mirrored: the operator from right to left."""
    if _tells(right) > _tells(left):
        op, left, right = mirrored, right, left
    return f"{left.called()} cannot be compared with {right.called()}{_how(op, left, right)}."


def to_take(term: Term, kinds: AbstractSet[str]) -> str:
    """Behind what a function takes and was not given: how the term suits after all; empty where it does not."""
    written = _written(term)
    if kinds == {"text"} and term.is_of_rows and term.kind not in _NO_TEXT:
        parts = f", and year({written}), month({written}) are parts of it" if term.kind in INSTANT else ""
        return f"; as a text it is text({written}){parts}"
    function = next((one for one in ("number", "date", "timestamp") if one in kinds), "")
    if term.kind != "text" or not term.is_of_rows or not function:
        return ""
    return local_form(term.column) or f"; as a {function} it is {function}({written}) {_OTHERS}"


def _tells(term: Term) -> tuple[bool, bool, bool]:
    """How well a term is known: what the other one has to suit is a column, else what has one, else no literal."""
    return term.column is not None, term.is_of_rows, term.literal is None


def _how(op: str, known: Term, other: Term) -> str:
    is_ordered = op not in {"=", "<>"}
    if known.kind in {"nested", "binary"}:
        return ". Only IS NULL is possible with it"
    if is_ordered and any(_is_condition(one) and two.kind in NUMERIC for one, two in ((known, other), (other, known))):
        return ". Between two ends lies x BETWEEN 1 AND 5, or 1 < x AND x < 5"
    if known.kind in NUMERIC:
        return ". Compare it with a number" + (", without quotes" if isinstance(other.literal, str) else "")
    form = local_form(known.column)
    converted = _converted(op, known, other) if known.kind == "text" else ""
    if converted and other.kind in NUMERIC and is_ordered:  # as texts they have the order of letters
        return form or f". Compare it {converted}"
    as_it_is = f". Compare it with {HOW.get(known.kind, f'another {known.kind}')}"
    return as_it_is + (form or (f", or {converted}" if converted else ""))


def _is_condition(term: Term) -> bool:
    """Whether it is neither a column nor TRUE or FALSE."""
    return term.kind == "boolean" and term.column is None and term.sql not in {"true", "false"}


def _converted(op: str, texts: Term, other: Term) -> str:
    """How texts are compared with numbers, dates or timestamps; empty for anything else."""
    if other.kind not in NUMERIC | INSTANT or texts.literal is not None:
        return ""
    function, written = "number", _written(other)
    if other.kind in INSTANT:
        function = "date" if other.kind == "date" else "timestamp"
        if other.literal is not None:
            written = f"{function.upper()}('{written.replace(' ', 'T')}')"
    return f"as a {function}: {function}({_written(texts)}) {op} {written} {_OTHERS}"


def _written(term: Term) -> str:
    if term.column is not None:
        return quoted(term.column.name)
    return "..." if term.literal is None else str(term.literal)
