"""CSV that comes with a request is read as an upload of it."""

from pathlib import Path
from typing import Any

import pytest
from support.tables import LIMITS

from gristmill.datasets.ingest import ingest
from gristmill.datasets.options import ReadingOptions
from gristmill.errors import MalformedDataError
from gristmill.processes.column import TableError
from gristmill.processes.csv_texts import NULLS
from gristmill.processes.dataset import DataSet
from gristmill.processes.table import Table
from gristmill.processes.workspace import Workspace

READ = [
    # types
    "zip\n01234\n00501\n", "x\n 1\n", 'x\n" 1"\n', "x\n1\n-2\n0\n", "x\n-0\n1\n", "x\n+1\n", "x\n+4915112345678\n",
    "x\n+-6\n", "x\n+1.5\n-2\n", "x\n9007199254740993\n1.5\n", "x\n9007199254740992\n1.5\n",
    "x\n12345678901234567890\n1.5\n", "x\n9007199254740993\nnan\n", "x\n9223372036854775807\n",
    "x\n1.5\n.5\n1.\n-1e3\n", "x\n1e400\n", "x\n1e-400\n", "x\nnan\n-Infinity\nINF\n1\n", "x\n1_000\n", "x\n0x1F\n",
    "x\n\u0661\n", f"x\n{'9' * 39}\n", "x\n00.5\n", "x\ntrue\nFALSE\n", "x\ntrue\n1\n", "x\n2024-02-29\n0001-01-01\n",
    "x\n2023-02-29\n", "x\n0000-01-01\n", "x\n2024-2-9\n", "x\n2024-02-29T10:00\n2024-02-29 10:00:00.123456\n",
    "x\n2024-02-29T24:00\n2024-02-29 23:59:59\n", "x\n2024-02-29 24:01\n", "x\n2024-02-29T10:00:00.1234567\n",
    "x\n2024-02-29\n2024-02-29T10:00\n", "x\n2024-02-29T10:00Z\n2024-02-29 10:00+0130\n2024-02-29 00:00:00-11\n",
    "x\n2024-02-29T10:00Z\n2024-02-29T10:00\n", "x\n2024-02-29T10:00+16:00\n", "x\n0001-01-01T00:00:00+05:00\n",
    "x;y\n2024-02-29T10:00:00,5;1\n", "x\n10:00\n1\n",
    # what is missing
    'x,y\n1,\n2,""\n', "x,y\nNA,null\n1,None\n", 'x,y\n"NA","null"\nN/A,a\n', "x,y\n,\n,\n", 'x\n""\n\n"NA"\nNA\n',
    # lines
    "x\n1\n\n2\n", "x\n1\n\n\n", "x,y\n1,2\n\n\n3,4\n\n", "x\r\n1\r\n\r\n2\r\n", "x\r1\r2\r", "x,y\n1,2", "x\n",
    "x,y\n", "x\n \n", "x\n1,\n", "\ufeffx,y\n1,2\n",
    # delimiters
    "a;b\n1;2,5\n", "a|b\n1|2\n", "a\tb\n1\t2\n", "a,b;c;d\n1;2;3\n", '"a,b,c";d\n1;2\n', "a\n1;2\n",
    "a,b,\n1,2,\n", "a,b\n1,2,\n3,4,,\n", "a,b\n1,2,NA\n", "a,a,A,a_2,\n1,2,3,4,5\n", " a , b\n1,2\n", ",\n1,2\n",
    "Name, Vorname;Ort\nA, B;C\nD, E;F\n", "Umsatz, netto;Umsatz, brutto;Ort\n1;2;A, B\n",
    # which are no titles
    "tags\nred;blue\ngreen;red\n", "point\n1;2;3\n4;5;6\n", "pair\nA;1\nB;2\n", "text\nA; b; 1\nC; d; 2\n",
    'x\n"a;b;c"\n"1;2;3"\n', "x\na;b;c\n1;2\n", "x\na;b;c\n", "sep=,\nx\na;b;c\n1;2;3\n", "a\nb;c;b\n1;2;3\n",
    "x,,\n1,2,3\n4,5,6\n", "x,,\na,,c\n1,2,3\n", "x,\na,b\n1,2\n", "x,y,\na,b,c\n1,2,3\n", "x,,\na,b,c\n",
    "a, b;c\n", "a,b, c;d\n1;2,3\n", 'a, "b;c"\n1, "2;3"\n', "a,b;c\n1;2\n" + "1,5;2\n" * 25, "a,b;c\n1,2;\n",
    "genres\nA|B|C\nD|E|F\n", "mails\na@x.de;b@x.de;c@x.de\nd@x.de;e@x.de;f@x.de\n", "path\nC:\\a;b;c\nD:\\d;e;f\n",
    "Full name\nMüller;Hans;Berlin\nMeier;Eva;Bonn\n", "home\nEva;Main Street\nTim;12 Oak St\nBob;5 Elm St\n",
    "film\nAlien;1979;8\nHeat;1995;9\n", "note\nfine\nred;late\nblue;7\n", "x\nred;n/a\nblue;7\ngreen;8\n",
    "id\t\t\nA\tred\t1\nB\tblue\t2\n", "id,,\nA,red,x\nB,blue,y\n", "id,,\nA,n/a,x\nB,3,y\nC,4,z\n", "id,\nA,3\nB,4\n",
    "i;;\nLaptop;1999;1\nMouse;25;3\n", "x,,\n,,\n,,\n", "sep=,\nUmsatz 2024\na;b;c\n1;2;3\n",
    "tags\na;b\n1;2\n3;4\nscience fiction\n", "full text\na;b\n1;2\n3;4\nnone\n",
    "todo\nTom;Eva\nBob;Ann\nEve: later\n", "tags\na;b\nc;d\n1;2\n3;4\n", "x\na;b\n1;2\nc: 3\n4;5\n",
    "tags\na;b;c\nd;e;f\ng;x;1\nh;3;4\n", "tags\na;b;c\n;d;e\nf;1;2\n", "x\n;a;b\nc;1;2\n", "x\n;1;2\na;1;2\nb;3;4\n",
    "x,,\n,red,big\nA,3,4\n", "id,,\nA,red,x\nB,big,y\nC,3,z\n",
    "sep=;\na,b;c\n1;2\n", '\ufeff"SEP=|"\r\na|b\r\n1|"x|y"\r\n', "sep=\t\na\tb\n1\t2\n", "sep=,\na\n\n1\n",
    "sep=;\ra\r", "sep=x\n1\n", "sep=;;\n1;2;3\n", "sep=;x\n1;2\n", "sep=;\na" + '"' * 39 + "\n",
    # quotes
    'x,y\n1,"a,""b"""\n', 'x,y\n1,"a\nb"\n2,"c\r\nd"\n', 'x,y\n1,a"b\n2,a""b"\n', 'x,y\n1, "a,b" \n', 'x,y\n1,  "a"\n',
    'x,y\n1,\t"a"\n', 'x,y\n1,"""a"\n', 'x,y\n"1","2"\n"3","4"', 'x\n"a"\n,\n', 'x,y\n"1"  ,"2",\n',
]  # fmt: skip
REFUSED = [
    "", "\n", "\nx,y\n1,2\n", "x,y\n1\n", "x,y\n1,2,3\n", 'x,y\n1,2,""\n', "x,y\n1,2, \n", "x,y\n1,2\n \n", 'x,y\n1,"2',
    'x,y\n1,"a"b\n', 'x,y\n1, "a"b\n', "x,y\n1,2\r\n3,4\n", "x,y\r\n1,2\n", "x,y\n1,2\r3,4\n", 'x\n"a"\r\n', "x\n1\0\n",
    "x", "x,y", "sep=;", "sep=;\ra", "sep=;\na" + '"' * 39, "sep=;\n\na;b\n",
    "sep=;\na;b\r\n1;2\r\n", "sep=;\r\na;b\n1;2\n", "sep=;\na;b\n1\n",
    'sep=;\n"a\nb"\r\n1\r\n',
    "PK\x03\x04", "%PDF-1.7\n", "<!DOCTYPE html>\n<p>\n",
    "Umsatz 2024\na;b;c\n1;2;3\n4;5;6\n", "Umsatz 2024\n\na;b;c\n1;2;3\n", "# von SAP\r\na;b\r\n1,5;x\r\n2,5;y\r\n",
    "Kunden\nName\tOrt\tLand\nA\tB\tC\n", "Umsatz\nRegion|2023|2024\nNord|1|\n", '"a;b"\nx;y\n1;2\n3;4\n',
    "Umsatz 2024;;\na;b;c\n1;2;3\n4;5;6\n", "sep=;\nUmsatz;;\n;;\na;b;c\nx;;z\n", "Umsatz,,\na,b,c\n1,2,3\n",
    "Report 2024,,\nBerlin branch,,\nname,city,x\nA,B,3\nC,D,4\n", "Report,,\nAs of: May,,\n,,\nname,city,x\nA,B,3\n",
    "Bericht;\nName;Wert\nA;3\nB;\nC;4\n", "Bericht\nStand 2024\n\nName;Ort\nA;3\nB;4",
    "Kunden 2024;;\nName;Ort;Land\nA;B;C\n", "Umsatz;;;\nKunde;Betrag;;\nA;1,50;;\nB;-;;\n",
    "Umsatz\nRegion;2022;2023\nNord;1.234,50 €;\nWest;-5;3,2%\n", "Messung\nTag;Ort\n2024-01-31;A\n2024-02-01;B\n",
    "Bevölkerung nach Kanton\nKanton;Einwohner\nZH;1500000\nBE;1000000\nQuelle: BFS\n",
    "Umsatz\nKanton|Wert\nZH|1\nBE|2\n\nStand: Mai\nQuelle: BFS", "Jahr 2024\nOrt\tx\nA\t1\nB\t\nAll figures in CHF\n",
    "Tab. 1\nKanton;Männer;Frauen;Total\n;in 1000;in 1000;in 1000\nZH;1;2;3\nBE;1;2;3\n",
    "Messung\nTag\tTemperatur\tWind\nyyyy-mm-dd\t°C\tkm/h\n2024-01-01\t3\t1\n2024-01-02\t4\t\nQuelle: DWD\n",
    "Tab. 1;;\nOrt;x;y\n;m;°C\nA;1;2\nB;3;4\n", "Tab. 1\nOrt;x\n;m\nA;1\nB;3\n",
    "Umsatz nach Jahr\n;2019;2020\nBern;1;2\nChur;3;4\n", "Umsatz;;\n;Bern;Chur\nA;1;2\nB;3;4\n",
    '"a\tb"\n1\n', '"a\nb",c\n1,2\n', '"a\r\nb",c\n1,2',
]  # fmt: skip

Columns = list[tuple[str, str, list[Any]]]


@pytest.fixture
def uploaded(tmp_path: Path) -> Any:
    def uploaded(content: bytes) -> DataSet:
        (tmp_path / "source").write_bytes(content)
        facts = ingest(tmp_path / "source", tmp_path / "table", ReadingOptions("csv", nulls=tuple(NULLS)), LIMITS)
        workspace = Workspace()
        workspace.connection.execute(f"CREATE TABLE data AS FROM read_parquet('{tmp_path / 'table'}')")
        return DataSet(workspace.queries, "data", workspace._described("data"), facts.rows)

    return uploaded


def columns_of(table: Table) -> Columns:
    return [(one.name, one.kind, one.cells()) for one in table.columns]


@pytest.mark.parametrize("text", READ)
def test_a_text_gives_the_same_names_kinds_and_values_inline_as_uploaded(text: str, uploaded: Any) -> None:
    assert columns_of(Table.from_bytes(text.encode(), "text/csv")) == columns_of(uploaded(text.encode()).table())


@pytest.mark.parametrize("text", REFUSED)
def test_a_text_is_refused_inline_as_uploaded(text: str, uploaded: Any) -> None:
    with pytest.raises(MalformedDataError):
        uploaded(text.encode())
    with pytest.raises(TableError):
        Table.from_bytes(text.encode(), "text/csv")


def test_utf_16_is_known_by_its_mark_inline_as_uploaded(uploaded: Any) -> None:
    content = "ä,b\n1,é\n".encode("utf-16")

    assert columns_of(Table.from_bytes(content, "text/csv", charset="utf-8")) == columns_of(uploaded(content).table())


def test_what_is_said_to_be_latin_1_is_windows_1252_inline_as_uploaded() -> None:
    content = "x\n1 €\n".encode("cp1252")

    for charset in ("ISO-8859-1", "windows-1252"):
        assert columns_of(Table.from_bytes(content, "text/csv", charset=charset)) == [("x", "string", ["1 €"])]


@pytest.mark.parametrize(
    ("texts", "type_text"), [(["18446744073709551615", "1"], "DECIMAL(38,0)"), (["10:00"], "TIME")]
)
def test_what_no_column_of_a_table_says_stays_text(texts: list[str], type_text: str, uploaded: Any) -> None:
    content = "\n".join(["x", *texts]).encode()

    assert uploaded(content).column("x").type == type_text
    assert columns_of(Table.from_bytes(content, "text/csv")) == [("x", "string", texts)]


def test_the_line_that_names_the_delimiter_is_no_row_but_counts(uploaded: Any) -> None:
    content = b"sep=;\na;b\n1;2\n3\n"

    with pytest.raises(MalformedDataError, match="Line 4 "):
        uploaded(content)
    with pytest.raises(TableError, match="row 4 "):
        Table.from_bytes(content, "text/csv")


def test_a_title_above_the_names_is_told() -> None:
    with pytest.raises(TableError, match=r"row 2 has 2 values, where there is 1 column\. .*remove a title"):
        Table.from_csv("Sales report 2024\na,b\n1,2\n")
    with pytest.raises(TableError, match=r"row 2 has 3 values, where there are 2 columns\. .*remove a title"):
        Table.from_csv("# Logger 7, Feld Nord\na,b,c\n1,2,3\n")
    with pytest.raises(TableError, match=r"row 3 has 3 values, where there are 2 columns$"):
        Table.from_csv("a,b\n1,2\n1,2,3\n")
    with pytest.raises(TableError, match=r"remove a title .* put them in quotes, or write sep=, in a line above"):
        Table.from_csv("Umsatz 2024\na;b;c\n1;2;3\n")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('"a"\t"b"\n"1"\t"x"\tNA\n"2"\t"y"\t3\n', "write.table"),
        ('"a","b"\n"x",1,\n"y",2,3\n', "write.table"),
        ('sep=;\n"Car name";"b"\n"r";"x";"p"\n"s";"y";"q"\n', "write.table"),
        ("Umsatz, netto\nOrt,2019,2020\nBern,1,2\nChur,3,4\n", "remove a title"),
        ("# Logger 7, Feld Nord\nday,place,x\n2024-01-31,A,1\n", "remove a title"),
        ("a,b\nx,1,2\ny,1\n", "remove a title"),
        ("a,b\n" + "x,1,\n" * 20 + "x,1,2\n", r"in quotes\.$|2 columns$"),
    ],
)
def test_a_line_of_names_that_lacks_one_is_told_from_a_title(text: str, uploaded: Any, advice: str) -> None:
    with pytest.raises(MalformedDataError, match=advice):
        uploaded(text.encode())
    with pytest.raises(TableError, match=advice):
        Table.from_csv(text)


def test_a_delimiter_that_is_given_goes_before_the_one_that_is_named() -> None:
    assert columns_of(Table.from_csv("sep=;\na;b,c\n1,2\n", ",")) == [("a;b", "integer", [1]), ("c", "integer", [2])]


def test_a_quote_that_is_not_closed_is_refused_with_its_line_at_once() -> None:
    with pytest.raises(TableError, match=r"in line 3, a quote is not closed"):
        Table.from_csv('x\n1\n"' + '""' * 500_000)
