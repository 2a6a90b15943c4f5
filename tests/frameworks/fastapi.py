"""Results as responses of path operations: annotated, not annotated, and in a response model."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from runware import Image, Results, get_client
from runware.results import from_dict

app = FastAPI()


class Post(BaseModel):
    title: str
    image: Image


async def images() -> Results[Image]:
    return await get_client().aio.image_inference(
        positive_prompt="a secret kite", model="runware:101@1", width=512, height=512, number_results=2
    )


@app.get("/one")
async def one() -> Image:
    return (await images())[0]


@app.get("/all")
async def all_images() -> Results[Image]:
    return await images()


@app.get("/plain")
async def plain():  # type: ignore[no-untyped-def]
    return await images()


@app.get("/post", response_model=Post)
async def post() -> dict[str, object]:
    return {"title": "Kites", "image": (await images())[0]}


@app.post("/gallery")
def gallery(post: Post) -> dict[str, object]:
    return {"url": post.image.get_url(), "kind": type(post.image).__name__}


with TestClient(app) as client:
    for path in ("/one", "/all", "/plain", "/post"):
        response = client.get(path)
        assert response.status_code == 200, response.text
        assert "imageURL" in response.text
        assert "secret" not in response.text, "the prompt must not leave with the result"
    made = from_dict(client.get("/all").json())
    assert len(made) == 2
    assert made[0].read()
    answer = client.post("/gallery", json=client.get("/post").json()).json()
    assert answer["kind"] == "Image"
    assert answer["url"].startswith("http")
    assert "/one" in client.get("/openapi.json").json()["paths"]
print("responses with and without annotation, a response model, a request body")
