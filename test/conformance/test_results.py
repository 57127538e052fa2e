"""Results as OGC API - Processes 1.0 has them: raw and as a document, by value and by reference."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import httpx
import pytest

from conformance.jobs import ASYNCHRONOUS, execute, finished
from conformance.ogc import assert_valid


def parts_by_output(answer: httpx.Response) -> dict[str, EmailMessage]:
    """The parts of a multipart answer, by the output's name in Content-ID."""
    message = message_from_bytes(
        b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.content, policy=policy.HTTP
    )
    return {part["content-id"].strip("<>").partition("@")[0]: part for part in message.iter_parts()}


@pytest.mark.parametrize("headers", [{}, ASYNCHRONOUS], ids=["sync", "async"])
class TestResults:
    """The same for a synchronous answer and for ``GET /jobs/{id}/results``."""

    def result(self, api: httpx.Client, headers: dict[str, str], **request: object) -> httpx.Response:
        answer = execute(api, headers, **request)
        return api.get(f"{finished(api, answer)}/results") if headers else answer

    def test_a_document_holds_every_output(self, api: httpx.Client, headers: dict[str, str]) -> None:
        answer = self.result(api, headers, response="document")

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert_valid(answer.json(), "results.yaml")
        assert answer.json()["string"] == "teststring"
        assert answer.json()["integer"] == 3
        assert answer.json()["object"]["value"] == {"a": 1}

    def test_a_document_refers_to_outputs_asked_for_by_reference(
        self, api: httpx.Client, headers: dict[str, str]
    ) -> None:
        outputs = {"string": {"transmissionMode": "reference"}, "integer": {}}

        answer = self.result(api, headers, outputs=outputs, response="document")

        assert_valid(answer.json(), "results.yaml")
        assert answer.json().keys() == {"string", "integer"}
        assert httpx.get(answer.json()["string"]["href"], timeout=30).text == "teststring"

    def test_one_raw_output_is_the_body(self, api: httpx.Client, headers: dict[str, str]) -> None:
        answer = self.result(api, headers, outputs={"object": {}}, response="raw")

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == {"a": 1}

    def test_several_raw_outputs_are_parts(self, api: httpx.Client, headers: dict[str, str]) -> None:
        answer = self.result(api, headers, outputs={"string": {}, "integer": {}})

        assert answer.status_code == 200
        parts = parts_by_output(answer)
        assert parts.keys() == {"string", "integer"}
        assert parts["string"].get_content() == "teststring"
        assert parts["integer"].get_content() in {b"3", "3"}

    def test_a_raw_part_by_reference_is_empty_and_says_where(self, api: httpx.Client, headers: dict[str, str]) -> None:
        outputs = {"string": {"transmissionMode": "reference"}, "integer": {"transmissionMode": "value"}}

        parts = parts_by_output(self.result(api, headers, outputs=outputs, response="raw"))

        assert parts["string"].get_payload() in {"", None}
        assert httpx.get(parts["string"]["content-location"], timeout=30).text == "teststring"

    def test_raw_references_are_links_without_a_body(self, api: httpx.Client, headers: dict[str, str]) -> None:
        by_reference = {"transmissionMode": "reference"}

        answer = self.result(api, headers, outputs={"string": by_reference, "integer": by_reference})

        assert (answer.status_code, answer.content) == (204, b"")
        links = [link for link in answer.headers.get_list("link") if "rel=monitor" not in link]
        assert len(links) == 2
        values = {httpx.get(link.split(">")[0].lstrip("<"), timeout=30).text for link in links}
        assert values == {"teststring", "3"}
