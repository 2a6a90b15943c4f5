"""Receive what Runware posts to the `webhook_url` of a task.

    from runware.webhooks import WebhookReceiver, sign

    receiver = WebhookReceiver(print, secret=SECRET)        # receiver.asgi, receiver.wsgi, receiver.django_view
    rw.video_inference(..., webhook_url=sign("https://example.com/hook/", SECRET))

`parse` reads a body on its own, for frameworks that are not served here; `verify` checks the URL it came to.
"""

from runware.webhooks.deliveries import MAX_BODY, Delivery, parse
from runware.webhooks.expectations import PendingResults
from runware.webhooks.memory import DeliveryMemory
from runware.webhooks.receiver import WebhookReceiver
from runware.webhooks.tokens import sign, verify

__all__ = ["MAX_BODY", "Delivery", "DeliveryMemory", "PendingResults", "WebhookReceiver", "parse", "sign", "verify"]
