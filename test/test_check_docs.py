"""The check of the documentation finds what is missing on either side."""

from pathlib import Path

import check_docs
import pytest
import write_docs

from gristmill.settings_table import rows


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the checks take for the repository."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "promises.md").write_text("| promise | tests |\n| --- | --- |\n")
    (tmp_path / "Makefile").write_text("run: ## Run\nlint: ## Lint\ne2e: check ## Try\n")
    monkeypatch.setattr(check_docs, "REPOSITORY", tmp_path)
    return tmp_path


def test_a_link_to_a_file_or_heading_that_is_not_there_is_found(pages: Path) -> None:
    (pages / "docs" / "there.md").write_text("# A heading, `with code`\n")
    (pages / "README.md").write_text(
        "[a](docs/there.md) [b](docs/there.md#a-heading-with-code) [c](https://example.org/x) "
        "[d](docs/gone.md) [e](docs/there.md#another)\n```\n[f](in/a/block.md)\n```\n"
    )
    assert list(check_docs.broken_links()) == [
        "README.md: docs/gone.md leads nowhere",
        "README.md: docs/there.md#another names a heading that is not there",
    ]


def test_a_test_that_does_not_exist_and_a_promise_without_one_are_found(pages: Path) -> None:
    (pages / "docs" / "promises.md").write_text(
        "| promise | tests |\n| --- | --- |\n| kept | `test_real` |\n| wished | `test_unreal` |\n| bare | none yet |\n"
    )
    assert list(check_docs.missing_tests({"test_real"})) == [
        "docs/promises.md: there is no test test_unreal",
        "docs/promises.md: no test stands behind: bare",
    ]


def test_tests_are_found_by_name_in_every_folder(pages: Path) -> None:
    (pages / "test" / "deep").mkdir(parents=True)
    (pages / "test" / "deep" / "test_some.py").write_text(
        "def test_one(): ...\nclass C:\n    async def test_two(self): ...\n"
    )
    assert {"test_one", "test_two", "test_some"} <= check_docs.defined_tests()


def test_a_command_or_option_that_no_page_names_is_found() -> None:
    found = list(check_docs.undocumented_commands("`gristmill jobs list --limit`"))
    assert "the command `gristmill queue pause` is not in the docs" in found
    assert "the option --owner of `gristmill jobs list` is not in the docs" in found
    assert "the command `gristmill jobs list` is not in the docs" not in found
    assert "the option --limit of `gristmill jobs list` is not in the docs" not in found


def test_a_command_that_does_not_exist_is_found() -> None:
    assert "the docs name a command that does not exist: gristmill frobnicate" in set(
        check_docs.undocumented_commands("`gristmill frobnicate`")
    )


def test_targets_are_compared_both_ways(pages: Path) -> None:
    assert list(check_docs.undocumented_targets("`make run` and `make coffee`, but make sense")) == [
        "the target `make e2e` is not in the docs",
        "the target `make lint` is not in the docs",
        "the docs name a target that does not exist: make coffee",
    ]


def test_routes_are_compared_whatever_their_parameters_are_called() -> None:
    found = list(check_docs.undocumented_routes("`GET /processes/{anything}`"))
    assert not any("/processes/<" in line and "execution" not in line for line in found)
    assert any(line.startswith("the route /conformance ") for line in found)


def test_settings_are_compared_both_ways() -> None:
    known = " ".join(row.variable for row in rows() if row.variable != "GRISTMILL_PORT")
    assert list(check_docs.undocumented_settings(f"{known} GRISTMILL_PROT")) == [
        "the setting GRISTMILL_PORT is not in the docs",
        "the docs name a setting that does not exist: GRISTMILL_PROT",
    ]


def test_the_page_of_settings_has_a_line_for_each() -> None:
    page = write_docs.settings_page()
    assert all(f"| `{row.variable}` |" in page for row in rows())


def test_the_latest_bench_stands_between_the_marks_of_the_page(tmp_path: Path) -> None:
    page = f"before\n{write_docs.BENCH_BEGIN}\nold\n{write_docs.BENCH_END}\nafter\n"
    (tmp_path / "latest.md").write_text("| new |\n")
    once = write_docs.speed_page(page, tmp_path / "latest.md")
    assert once == f"before\n{write_docs.BENCH_BEGIN}\n| new |\n{write_docs.BENCH_END}\nafter\n"
    assert write_docs.speed_page(once, tmp_path / "latest.md") == once


def test_a_module_that_the_architecture_does_not_place_is_named(tmp_path):
    (tmp_path / "strange.py").touch()
    (tmp_path / "jobs.py").touch()
    assert write_docs.unplaced(tmp_path) == ["strange"]
