"""Webhooks and the store: a delivery settles the task for every process."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from runware import Acknowledgement, IncompleteResultsError, ProviderError, Runware, TaskError
from runware.local import LocalServer
from runware.webhooks import Delivery, WebhookReceiver, parse

VIDEO: dict[str, Any] = {"positive_prompt": "waves", "model": "klingai:5@3", "duration": 5}
PICTURES: dict[str, Any] = {"positive_prompt": "a harbor", "model": "runware:101@1", "width": 512, "height": 512}
HOOK = "http://127.0.0.1:9/hook"  # nothing listens there: the tests hand deliveries over themselves


@pytest.fixture
def client(server: LocalServer, tmp_path: pathlib.Path) -> Iterator[Runware]:
    with Runware(api_key=server.api_key, url=server.url, store=tmp_path / "jobs.db", check="off") as rw:
        yield rw


def started(client: Runware, **parameters: Any) -> str:
    (acknowledgement,) = client.image_inference(**{**PICTURES, **parameters}, webhook_url=HOOK)
    assert isinstance(acknowledgement, Acknowledgement)
    return str(acknowledgement.task_uuid)


def delivered(uuid: str, number: int = 1) -> list[Delivery]:
    item = {"taskType": "imageInference", "taskUUID": uuid, "imageUUID": f"{number:08d}-0000-4000-8000-000000000000"}
    return parse([{**item, "imageURL": "https://example.com/a.jpg", "cost": 0.5}])


def refused(uuid: str) -> Delivery:
    (delivery,) = parse({"errors": [{"code": "timeoutProvider", "message": "too slow", "taskUUID": uuid}]})
    return delivery


def test_acknowledged_task_stays_open_until_its_webhook_comes(client: Runware) -> None:
    uuid = started(client)
    assert (client.jobs.get(uuid).state, client.jobs.get(uuid).step) == ("open", "accepted")
    (delivery,) = delivered(uuid)
    assert client.jobs.deliver(delivery)
    assert client.jobs.deliver(delivery)  # twice, as webhooks come
    task = client.jobs.get(uuid)
    assert (task.state, task.cost, len(task.items)) == ("succeeded", 0.5, 1)


def test_job_that_waits_in_another_client_ends_with_the_delivery(
    client: Runware, server: LocalServer, tmp_path: pathlib.Path
) -> None:
    with (
        server.hold("imageInference"),
        Runware(api_key=server.api_key, url=server.url, store=tmp_path / "jobs.db") as other,
    ):
        uuid = started(client)
        job = other.job(uuid)
        (delivery,) = delivered(uuid)
        assert client.jobs.deliver(delivery)
        (image,) = job.result(20)
        assert image.cost == 0.5


def test_job_of_a_settled_task_needs_no_server(client: Runware, server: LocalServer) -> None:
    uuid = started(client)
    (delivery,) = delivered(uuid)
    client.jobs.deliver(delivery)
    polls = client.stats.questions
    assert client.job(uuid).result()[0].cost == 0.5
    assert client.stats.questions == polls


def test_several_results_complete_the_task_one_by_one(client: Runware) -> None:
    uuid = started(client, number_results=2)
    client.jobs.deliver(delivered(uuid, 1)[0])
    assert client.jobs.get(uuid).state == "open"
    client.jobs.deliver(delivered(uuid, 2)[0])
    assert client.jobs.get(uuid).state == "succeeded"
    assert client.jobs.get(uuid).cost == 1.0


def test_delivered_error_of_one_result_counts_although_the_acknowledgement_is_written_after_it(client: Runware) -> None:
    uuid = started(client, number_results=2)
    (failed,) = parse({"errors": [{"code": "contentPolicyViolation", "message": "no", "taskUUID": uuid}]})
    client.jobs.deliver(failed)  # the end of the call is written some milliseconds later
    assert client.jobs.get(uuid).state == "open"
    client.jobs.deliver(delivered(uuid)[0])
    assert client.jobs.get(uuid).state == "failed"


def test_delivered_error_fails_the_task_and_keeps_the_results(client: Runware) -> None:
    uuid = started(client, number_results=2)
    client.jobs.deliver(delivered(uuid, 1)[0])
    (failed,) = parse({"errors": [{"code": "contentPolicyViolation", "message": "no", "taskUUID": uuid}]})
    client.jobs.deliver(failed)
    task = client.jobs.get(uuid)
    assert task.state == "failed"
    assert isinstance(task.error, IncompleteResultsError)
    with pytest.raises(TaskError) as caught:
        client.job(uuid).result()
    assert len(caught.value.results) == 1


def test_delivered_failure_that_may_pass_is_tried_again_by_the_next_start(client: Runware, server: LocalServer) -> None:
    common = {name: value for name, value in PICTURES.items() if name != "positive_prompt"} | {"webhook_url": HOOK}

    def start() -> str:
        ((acknowledgement,),) = client.map(client.image_inference, ["a harbor"], common=common, run="nightly")
        return str(acknowledgement.task_uuid)

    first = start()
    client.jobs.deliver(refused(first))
    task = client.jobs.get(first)
    assert (task.state, task.step) == ("open", "refused")
    assert isinstance(task.error, ProviderError)
    assert start() != first
    assert client.jobs.get(first).attempts == 2
    assert server.ledger.executions_by_prompt() == {"a harbor": 2}


def test_late_delivery_of_a_failed_attempt_does_not_fail_the_next_one(client: Runware, server: LocalServer) -> None:
    uuid = started(client)
    client.jobs.deliver(refused(uuid))
    with server.hold("imageInference") as held:
        (job,) = client.jobs.recover()
        server.ledger.wait_for(lambda ledger: ledger.held)
        client.jobs.deliver(refused(uuid))  # once more, as webhooks come
        assert client.jobs.get(uuid).step != "refused"
        held.release()
        assert len(job.result(20)) == 1
    assert client.jobs.get(uuid).state == "succeeded"


def test_attempt_after_a_delivered_outcome_is_not_sent(client: Runware, server: LocalServer) -> None:
    failing = {**PICTURES, "positive_prompt": "[fail:1] a harbor"}
    with server.hold("imageInference") as held:
        job = client.submit.image_inference(**failing)
        server.ledger.wait_for(lambda ledger: ledger.held)
        (failed,) = parse({"errors": [{"code": "contentPolicyViolation", "message": "no", "taskUUID": job.task_uuid}]})
        client.jobs.deliver(failed)
        held.release()
        error = job.exception(20)
    assert isinstance(error, TaskError)
    assert error.code == "contentPolicyViolation"
    assert server.ledger.executions_by_prompt() == {"[fail:1] a harbor": 1}


def test_delivery_of_a_task_that_is_not_stored_changes_nothing(client: Runware) -> None:
    assert not client.jobs.deliver(delivered("11111111-1111-4111-8111-111111111111")[0])


def test_receiver_takes_it_as_its_handler(client: Runware) -> None:
    uuid = started(client)
    receiver = WebhookReceiver(client.jobs.deliver, secret=None, confirm=True)
    body = json.dumps([dict(delivered(uuid)[0].raw)]).encode()
    answers: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/hook",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    list(receiver.wsgi(environ, lambda status, headers: answers.append(status)))
    receiver.close()
    assert answers == ["200 OK"]
    assert client.jobs.get(uuid).state == "succeeded"
