"""Results as rows of a table."""

from __future__ import annotations

import pandas as pd

from runware import get_client

images = get_client().image_inference(
    positive_prompt="a kite", model="runware:101@1", width=512, height=512, number_results=3, include_cost=True
)
table = pd.DataFrame(images.to_dicts(api_names=False))
assert list(table.columns) == ["task_type", "task_uuid", "cost", "uuid", "url", "seed"]
assert table["cost"].sum() == images.cost
assert table["seed"].tolist() == [image.seed for image in images]
table["prompt"] = [image.positive_prompt for image in images]
assert set(table["prompt"]) == {"a kite"}
print("a row a result, a column an attribute")
