"""The numbers in JSON that DuckDB wrote: those that JSON does not hold become strings.

To look at each value before it is written takes DuckDB longer to plan than to run, as an expression for each field of a
struct. So the text of the whole is looked through afterwards.
"""

EXACT_IN_JSON = 2**53
_STRING = r'"(?:\\.|[^"\\])*"'
_DOUBLE = r"-?[0-9]+[.eE][-+.0-9eE]*"  # DuckDB writes each with a point or an exponent
_NOT_FINITE = "NaN|-?Infinity"
_MAY_HOLD = r"NaN|Infinity|[\[:,-][0-9]{16}"
_MARK = "chr(1)"  # which JSON has only as an escape


def _beyond(most: int) -> str:
    """A regular expression of the whole numbers above one, without leading zeros."""
    digits = str(most)
    larger = [f"[1-9][0-9]{{{len(digits)},}}"]
    for place, digit in enumerate(digits):
        if digit != "9":
            larger.append(f"{digits[:place]}[{int(digit) + 1}-9][0-9]{{{len(digits) - place - 1}}}")
    return f"(?:{'|'.join(larger)})"


_PARTS = f"({_STRING}|{_DOUBLE})|({_NOT_FINITE}|-?{_beyond(EXACT_IN_JSON)})"


def with_exact_numbers(sql: str) -> str:
    """The JSON text of a value, NaN, infinities and integers beyond 2^53 in quotes; sql: of its text as DuckDB has it.

    All strings, and all numbers that may stay, are followed by two marks, which go; what is left are marks around what
    is to be quoted.
    """
    marked = rf"regexp_replace(written, '{_PARTS}', '\1' || {_MARK} || '\2' || {_MARK}, 'g')"
    quoted = f"replace(replace({marked}, {_MARK} || {_MARK}, ''), {_MARK}, '\"')"
    # The lambda has the text planned once. Most texts hold no such number.
    exact = f"CASE WHEN regexp_matches(written, '{_MAY_HOLD}') THEN {quoted} ELSE written END"
    return f"list_transform([{sql}], lambda written: {exact})[1]"
