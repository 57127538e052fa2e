"""One SELECT that a user wrote: what may stand in it, its result as a table of the run, and its errors as the user's.

DuckDB's own parser says what a statement is. As a subquery it runs only if it can do nothing but read: there, SQL has
no other statement, and DuckDB refuses one in a WITH.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from gristmill.datasets.damage import is_damage
from gristmill.datasets.mapping import csv_of, quoted
from gristmill.datasets.nesting import too_nested
from gristmill.errors import InvalidInputsError
from gristmill.processes.authoring import wrong_input
from gristmill.processes.dataset import DataSet

ALLOWED = (
    "one statement that reads: SELECT, WITH ... SELECT, FROM, VALUES, TABLE, PIVOT, UNPIVOT, DESCRIBE or SUMMARIZE"
)
# A PIVOT whose columns are not given is several statements to DuckDB: it looks for the values first.
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}
# DuckDB cuts letters of a query that it shows in two; what Python then raises has the message.
_THE_QUERYS = (duckdb.Error, UnicodeDecodeError)
_NOT_THE_QUERYS = (duckdb.OutOfMemoryException, duckdb.InternalException, duckdb.FatalException)
# Settings are not the query's to change. What stands between the words may be the query's, and long.
_NOT_HERE = re.compile(r' Use "?SET [^".]{1,200}+(?:"[^".]{0,200}+)?\.(?= |$)')
_RESULT = 'temp."result of the query"'
_COLUMNS_A_STATEMENT = 64  # planning one over all of thousands takes many seconds, and memory


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a SELECT, kept as a table of the run.

    columns: their names and DuckDB's names of their types. rows: how many are kept. is_cut: whether there are more.
    """

    data: DataSet
    columns: Sequence[tuple[str, str]]
    rows: int
    is_cut: bool

    @property
    def sql(self) -> str:
        """The rows as SQL, for ``FROM``."""
        return f"(FROM {_RESULT} LIMIT {self.rows})"

    def csv(self) -> str:
        """The rows as CSV with a header line; a missing value is empty, an empty text is quoted."""
        begins = range(0, len(self.columns), _COLUMNS_A_STATEMENT)
        shares = [self.columns[begin : begin + _COLUMNS_A_STATEMENT] for begin in begins]
        header = ",".join(_quoted_if_needed(name) for name, _ in self.columns)
        lines = map(",".join, zip(*map(self._fields, shares), strict=True))
        return "".join(f"{line}\n" for line in [header, *lines])

    def _fields(self, columns: Sequence[tuple[str, str]]) -> list[str]:
        """The fields of some columns in each row, with commas between."""
        texts = [f"{_text(quoted(name), type_)} AS c{place}" for place, (name, type_) in enumerate(columns)]
        fields = ", ".join(_field(f"c{place}") for place in range(len(texts)))
        found = self.data.query(f"SELECT concat_ws(',', {fields}) FROM (SELECT {', '.join(texts)} FROM {self.sql})")
        return [row[0] for row in found.fetchall()]


def select(tables: Mapping[str, DataSet], query: str, limit: int, name: str = "query") -> Result:
    """Run a user's SELECT over the data sets of a run, and keep at most ``limit`` of its rows.

    Raises InvalidInputsError that names the input where the statement is not allowed, or fails; and duckdb.Error where
    that is not the statement's fault, as with too little memory.
    """
    data = next(iter(tables.values()))
    text = _checked(data, query, name)
    try:
        data.query(f"CREATE OR REPLACE TEMP TABLE {_RESULT} AS FROM (\n{text}\n) LIMIT {limit + 1}")
    except _NOT_THE_QUERYS:
        raise
    except duckdb.PermissionException as error:
        raise wrong_input(name, f"can read the tables {', '.join(tables)}, and no files and no network") from error
    except _THE_QUERYS as error:
        if is_damage(error):
            raise
        said = explained(error, text, lines_before=1)
        if isinstance(error, duckdb.CatalogException):
            said += f"; the tables are: {', '.join(tables)}"
        raise wrong_input(name, said) from error
    ((rows,),) = data.query(f"SELECT count(*) FROM {_RESULT}").fetchall()
    columns = [(row[0], row[1]) for row in data.query(f"DESCRIBE {_RESULT}").fetchall()]
    for column in columns:
        if why := too_nested([column]):
            raise wrong_input(name, f"gives what cannot be written as CSV. {why}")
    return Result(data, columns, min(rows, limit), rows > limit)


def _checked(data: DataSet, query: str, name: str) -> str:
    """The query without the semicolon at its end; raises InvalidInputsError where it is not what is allowed."""
    try:
        statements = data.statements(query)
    except _NOT_THE_QUERYS:
        raise
    except _THE_QUERYS as error:
        raise wrong_input(name, explained(error, query)) from error
    if len(statements) != 1:
        raise _refused(name, f"has {len(statements) or 'no'} statements")
    statement = statements[0]
    if statement.type not in _READING:
        raise _refused(name, f"is a statement of type {statement.type.name}")
    if statement.named_parameters:
        raise wrong_input(name, "has parameters, which no value is given for: write the values themselves")
    text = _without_end(query)
    try:
        wrapped = data.statements(f"FROM (\n{text}\n)")
    except (duckdb.ParserException, UnicodeDecodeError) as error:
        raise _refused(name, "is not a statement that only reads") from error
    if [one.type in _READING for one in wrapped] != [True]:
        raise _refused(name, "is not a statement that only reads")
    return text


def _without_end(query: str) -> str:
    """The query without semicolons at its end, and without the comments after them."""
    text = query.encode()
    end = len(text)
    for offset, kind in reversed(duckdb.tokenize(query)):
        if kind == duckdb.token_type.operator and text[offset : offset + 1] == b";":
            end = offset
        elif kind != duckdb.token_type.comment:
            break
    return text[:end].decode()


def _refused(name: str, what: str) -> InvalidInputsError:
    return wrong_input(name, f"{what}; it must be {ALLOWED}")


def explained(error: duckdb.Error | UnicodeDecodeError, query: str, lines_before: int = 0) -> str:
    """Say what DuckDB has against a query, and where, in one line.

    lines_before: how many lines stood before the query's first one.
    """
    whole = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
    message, _, place = whole.partition("\nLINE ")
    said = f"cannot be run: {_NOT_HERE.sub('', ' '.join(message.split()))}"
    number, _, rest = place.partition(": ")
    shown, _, marks = rest.partition("\n")
    if not number.isdigit() or "^" not in marks:
        return said
    line = int(number) - lines_before
    if line < 1:  # in what we have put around it
        return said
    at = marks.index("^") - len(f"LINE {number}: ")
    near = shown[at : at + marks.count("^")].strip()
    # DuckDB shows a part of a long line.
    part = shown.removeprefix("...")
    lines = query.splitlines()
    start = lines[line - 1].find(part.removesuffix("...")) if 0 < line <= len(lines) else -1
    column = f", character {start + at - (len(shown) - len(part)) + 1}" if start >= 0 else ""
    return f"{said} (line {line}{column}" + (f", at {near!r})" if near else ")")


def _text(sql: str, type_text: str) -> str:
    text = f"CAST({csv_of(sql, type_text)} AS VARCHAR)"
    # DuckDB writes the sign of NaN, which says nothing.
    return f"CASE WHEN isnan({sql}) THEN 'nan' ELSE {text} END" if type_text in {"DOUBLE", "FLOAT"} else text


def _field(sql: str) -> str:
    special = " OR ".join(f"contains({sql}, {one})" for one in ("'\"'", "','", "'#'", "chr(10)", "chr(13)"))
    quotes = f"'\"' || replace({sql}, '\"', '\"\"') || '\"'"
    return f"CASE WHEN {sql} IS NULL THEN '' WHEN {sql} = '' OR {special} THEN {quotes} ELSE {sql} END"


def _quoted_if_needed(name: str) -> str:
    return quoted(name) if not name or set(name) & set('",#\n\r') else name
