"""What happened, for people: written by the control loop and the engine, read by `homeport events` and `why`."""

from datetime import datetime

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=True):
    """`number` grows by one per event of an engine; 0 until it is stored."""

    at: datetime
    environment: str
    kind: str
    """Snake case: `launch`, `put_in_service`, `deployment_ended`, …"""
    subject: str
    message: str
    app: str = ""
    number: int = 0
