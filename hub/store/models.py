"""The tables, as Tortoise sees them.

Ordinary reads and writes go through these classes; the few hot paths have hand-written SQL beside
them in this package. Rows refer to one another by id without foreign keys: filing locks rows in one
global order of its own, and retention removes bodies long before the keys that guard against repeats.
Hot tables' fill factors, partial indexes and the feed's transaction id are in the migrations.
"""

from tortoise import fields
from tortoise.models import Model

WAITING, DONE, PARKED, CANCELLED = 0, 1, 2, 3


class Inbox(Model):
    """An InboundEvent, raw; the promise to the platform is that its row is committed."""

    id = fields.BigIntField(primary_key=True, generated=True)
    account = fields.CharField(max_length=64)
    channel = fields.CharField(max_length=64)
    partition = fields.SmallIntField()
    order_key = fields.TextField()
    dedupe_key = fields.CharField(max_length=255)
    headers = fields.JSONField[dict[str, str]](default=dict)
    body = fields.BinaryField(null=True)
    proof = fields.CharField(max_length=64)
    received_at = fields.DatetimeField()
    state = fields.SmallIntField(default=WAITING)
    crashes = fields.SmallIntField(default=0)
    error = fields.TextField(null=True)

    class Meta:
        table = "inbox"
        unique_together = (("account", "dedupe_key"),)


class Partition(Model):
    """A sixteenth of an account's inbox; whoever holds its lease files its rows in id order."""

    id = fields.CharField(max_length=80, primary_key=True)
    account = fields.CharField(max_length=64)
    number = fields.SmallIntField()
    epoch = fields.BigIntField(default=0)
    lease_until = fields.DatetimeField()
    holder = fields.CharField(max_length=128, null=True)

    class Meta:
        table = "partitions"
        unique_together = (("account", "number"),)


class Lease(Model):
    """Who owns something that must have one owner in the cluster: a listener, a sweep."""

    name = fields.CharField(max_length=160, primary_key=True)
    epoch = fields.BigIntField(default=0)
    lease_until = fields.DatetimeField()
    holder = fields.CharField(max_length=128, null=True)

    class Meta:
        table = "leases"


class Checkpoint(Model):
    """How far a pulled source has been taken in."""

    id = fields.BigIntField(primary_key=True, generated=True)
    account = fields.CharField(max_length=64)
    key = fields.CharField(max_length=255)
    value = fields.JSONField[dict[str, object]]()
    epoch = fields.BigIntField(default=0)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "checkpoints"
        unique_together = (("account", "key"),)


class Contact(Model):
    """A person or a group."""

    id = fields.UUIDField(primary_key=True)
    name = fields.TextField(null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "contacts"


class AddressRow(Model):
    """Where a contact is reached."""

    id = fields.UUIDField(primary_key=True)
    scheme = fields.CharField(max_length=32)
    scope = fields.CharField(max_length=128)
    value = fields.CharField(max_length=512)
    contact_id = fields.UUIDField(db_index=True)
    name = fields.TextField(null=True)

    class Meta:
        table = "addresses"
        unique_together = (("scheme", "scope", "value"),)


class Conversation(Model):
    """One contact, group or mail thread with one account over time."""

    id = fields.UUIDField(primary_key=True)
    account = fields.CharField(max_length=64)
    channel = fields.CharField(max_length=64)
    thread_key = fields.CharField(max_length=512)
    contact_id = fields.UUIDField(db_index=True)
    address_scheme = fields.CharField(max_length=32)
    address_scope = fields.CharField(max_length=128)
    address_value = fields.CharField(max_length=512)
    is_group = fields.BooleanField(default=False)
    queue = fields.CharField(max_length=64)
    state = fields.CharField(max_length=16, default="open")
    case_number = fields.IntField(default=1)
    last_seq = fields.BigIntField(default=0)
    subject = fields.TextField(null=True)
    tags = fields.JSONField[list[str]](default=list)
    assignee = fields.TextField(null=True)
    reply_context = fields.JSONField[dict[str, object]](default=dict)
    last_inbound_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "conversations"
        unique_together = (("account", "thread_key"),)


class MessageRow(Model):
    """What was said, once; *body* is its public JSON, with the ids filled in."""

    id = fields.UUIDField(primary_key=True)
    conversation_id = fields.UUIDField()
    seq = fields.BigIntField()
    account = fields.CharField(max_length=64)
    channel = fields.CharField(max_length=64)
    direction = fields.CharField(max_length=8)
    kind = fields.CharField(max_length=16)
    dedupe_key = fields.CharField(max_length=255)
    external_id = fields.CharField(max_length=512, null=True)
    body = fields.JSONField[dict[str, object]]()
    reply_context = fields.JSONField[dict[str, object]](default=dict)
    status = fields.CharField(max_length=16, null=True)
    status_at = fields.DatetimeField(null=True)
    error = fields.JSONField[dict[str, object] | None](null=True)
    inbox_id = fields.BigIntField(null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "messages"
        unique_together = (("conversation_id", "seq"), ("account", "direction", "dedupe_key"))


class MessageId(Model):
    """Every external id ever seen of a thread's messages, and the conversation it leads to."""

    id = fields.BigIntField(primary_key=True, generated=True)
    account = fields.CharField(max_length=64)
    external_id = fields.CharField(max_length=512)
    conversation_id = fields.UUIDField()
    message_id = fields.UUIDField(null=True)

    class Meta:
        table = "message_ids"
        unique_together = (("account", "external_id"),)


class AttachmentRow(Model):
    """A file, received or to be sent; its bytes lie in the media store under their sha256."""

    id = fields.UUIDField(primary_key=True)
    message_id = fields.UUIDField(null=True, db_index=True)
    account = fields.CharField(max_length=64, null=True)
    token_id = fields.UUIDField(null=True)
    kind = fields.CharField(max_length=16)
    mime_type = fields.CharField(max_length=255, null=True)
    filename = fields.TextField(null=True)
    size_bytes = fields.BigIntField(null=True)
    sha256 = fields.CharField(max_length=64, null=True)
    state = fields.CharField(max_length=16, default="pending")
    source = fields.JSONField[dict[str, object]](default=dict)
    error = fields.TextField(null=True)
    tries = fields.SmallIntField(default=0)
    next_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "attachments"


class NoticeRow(Model):
    """Something that happened and is not a message."""

    id = fields.UUIDField(primary_key=True)
    account = fields.CharField(max_length=64)
    channel = fields.CharField(max_length=64)
    conversation_id = fields.UUIDField(null=True)
    kind = fields.CharField(max_length=64)
    dedupe_key = fields.CharField(max_length=255)
    body = fields.JSONField[dict[str, object]]()
    inbox_id = fields.BigIntField(null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "notices"
        unique_together = (("account", "dedupe_key"),)


class EventRow(Model):
    """One event of the feed, frozen as it leaves; the column ``xid`` orders the feed."""

    id = fields.UUIDField(primary_key=True)
    type = fields.CharField(max_length=32)
    account = fields.CharField(max_length=64, null=True)
    queue = fields.CharField(max_length=64, null=True)
    conversation_id = fields.UUIDField(null=True)
    message_id = fields.UUIDField(null=True)
    body = fields.BinaryField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "events"


class DestinationRow(Model):
    """How a destination is doing: its breaker and what was last seen of it."""

    name = fields.CharField(max_length=64, primary_key=True)
    state = fields.CharField(max_length=16, default="closed")
    failures = fields.IntField(default=0)
    opened_at = fields.DatetimeField(null=True)
    next_probe_at = fields.DatetimeField(null=True)
    probes = fields.IntField(default=0)
    last_success_at = fields.DatetimeField(null=True)
    last_failure_at = fields.DatetimeField(null=True)
    last_error = fields.TextField(null=True)
    disabled_reason = fields.TextField(null=True)

    class Meta:
        table = "destinations"


class Lane(Model):
    """An ordered line of work: ``deliver`` one conversation to one destination, or ``reply`` to it.

    *wanted* counts the work added, *handled* the work done; *epoch* fences a holder that lost its
    lease.
    """

    id = fields.BigIntField(primary_key=True, generated=True)
    kind = fields.CharField(max_length=8)
    target = fields.CharField(max_length=64)
    conversation_id = fields.UUIDField()
    wanted = fields.BigIntField(default=0)
    handled = fields.BigIntField(default=0)
    epoch = fields.BigIntField(default=0)
    lease_until = fields.DatetimeField()
    holder = fields.CharField(max_length=128, null=True)
    next_at = fields.DatetimeField()

    class Meta:
        table = "lanes"
        unique_together = (("kind", "target", "conversation_id"),)


class Delivery(Model):
    """One event for one destination, number *n* of its lane."""

    id = fields.UUIDField(primary_key=True)
    lane_id = fields.BigIntField()
    n = fields.BigIntField()
    destination = fields.CharField(max_length=64)
    event_id = fields.UUIDField(db_index=True)
    state = fields.SmallIntField(default=WAITING)
    tries = fields.IntField(default=0)
    replayed = fields.BooleanField(default=False)
    error = fields.TextField(null=True)
    created_at = fields.DatetimeField()
    first_tried_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        table = "deliveries"
        unique_together = (("lane_id", "n"),)


class Attempt(Model):
    """One failed try of a delivery; a success is the delivery's own ``finished_at``."""

    id = fields.BigIntField(primary_key=True, generated=True)
    delivery_id = fields.UUIDField(db_index=True)
    at = fields.DatetimeField()
    status = fields.IntField(null=True)
    error = fields.TextField(null=True)
    duration_ms = fields.IntField(null=True)
    answer = fields.TextField(null=True)

    class Meta:
        table = "attempts"


class DraftRow(Model):
    """One platform call of a reply, and what became of it; *turn* is its number under its allowance."""

    id = fields.UUIDField(primary_key=True)
    message_id = fields.UUIDField()
    position = fields.SmallIntField()
    role = fields.CharField(max_length=8)
    call = fields.JSONField[dict[str, object]]()
    state = fields.CharField(max_length=16, default="queued")
    epoch = fields.BigIntField(null=True)
    worker = fields.CharField(max_length=128, null=True)
    tries = fields.SmallIntField(default=0)
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)
    external_id = fields.CharField(max_length=512, null=True)
    results = fields.JSONField[dict[str, object]](default=dict)
    allowance_id = fields.UUIDField(null=True)
    turn = fields.IntField(null=True)
    error = fields.JSONField[dict[str, object] | None](null=True)

    class Meta:
        table = "drafts"
        unique_together = (("message_id", "position"),)


class ReceiptRow(Model):
    """What a platform reported; *message_id* is empty while the message is not known yet."""

    id = fields.BigIntField(primary_key=True, generated=True)
    account = fields.CharField(max_length=64)
    dedupe_key = fields.CharField(max_length=255)
    external_id = fields.CharField(max_length=512, null=True)
    message_id = fields.UUIDField(null=True)
    body = fields.JSONField[dict[str, object]]()
    created_at = fields.DatetimeField()

    class Meta:
        table = "receipts"
        unique_together = (("account", "dedupe_key"),)


class AllowanceRow(Model):
    """What a platform still lets us say in a conversation, because of one trigger.

    *used* numbers what is said under it; it only rises, whatever *remaining* gets back.
    """

    id = fields.UUIDField(primary_key=True)
    conversation_id = fields.UUIDField()
    account = fields.CharField(max_length=64)
    trigger = fields.CharField(max_length=32)
    key = fields.CharField(max_length=255)
    grouping = fields.CharField(max_length=32, null=True)
    mode = fields.CharField(max_length=16, default="free")
    opened_at = fields.DatetimeField()
    until = fields.DatetimeField(null=True)
    remaining = fields.IntField(null=True)
    used = fields.IntField(default=0, db_default=0)
    closed = fields.BooleanField(default=False)

    class Meta:
        table = "allowances"
        unique_together = (("conversation_id", "trigger", "key"),)


class Exchange(Model):
    """The HTTP of a reply or of a failed delivery, redacted."""

    id = fields.BigIntField(primary_key=True, generated=True)
    subject_id = fields.UUIDField(db_index=True)
    at = fields.DatetimeField()
    method = fields.CharField(max_length=8)
    url = fields.TextField()
    status = fields.IntField(null=True)
    request = fields.TextField(null=True)
    answer = fields.TextField(null=True)
    error = fields.TextField(null=True)
    duration_ms = fields.IntField(null=True)

    class Meta:
        table = "exchanges"


class PlatformToken(Model):
    """A platform's access token, sealed; its row lock makes one refresher."""

    id = fields.CharField(max_length=200, primary_key=True)
    sealed = fields.BinaryField(null=True)
    expires_at = fields.DatetimeField(null=True)
    refreshed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "platform_tokens"


class ApiToken(Model):
    """A helpdesk's or an admin's key to the API; only its hash is kept."""

    id = fields.UUIDField(primary_key=True)
    name = fields.CharField(max_length=64)
    hash = fields.CharField(max_length=64, unique=True)
    scopes = fields.JSONField[list[str]]()
    queues = fields.JSONField[list[str]]()
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)
    requests_per_s = fields.FloatField(null=True)

    class Meta:
        table = "api_tokens"


class IdempotencyKey(Model):
    """A request that was made under a key, and the answer it got."""

    id = fields.BigIntField(primary_key=True, generated=True)
    token_id = fields.UUIDField()
    key = fields.CharField(max_length=255)
    request_sha256 = fields.CharField(max_length=64)
    status = fields.SmallIntField(null=True)
    answer = fields.BinaryField(null=True)
    created_at = fields.DatetimeField()

    class Meta:
        table = "idempotency_keys"
        unique_together = (("token_id", "key"),)


class AccountState(Model):
    """How an account is doing."""

    name = fields.CharField(max_length=64, primary_key=True)
    state = fields.CharField(max_length=16, default="ok")
    reason = fields.TextField(null=True)
    since = fields.DatetimeField(null=True)
    listener_state = fields.CharField(max_length=16, null=True)
    listener_error = fields.TextField(null=True)
    last_inbound_at = fields.DatetimeField(null=True)
    last_outbound_at = fields.DatetimeField(null=True)

    class Meta:
        table = "accounts"


class Process(Model):
    """A running process of the hub, by its heartbeat."""

    name = fields.CharField(max_length=128, primary_key=True)
    kind = fields.CharField(max_length=16)
    version = fields.CharField(max_length=32)
    settings_sha256 = fields.CharField(max_length=64, null=True)
    started_at = fields.DatetimeField()
    seen_at = fields.DatetimeField()
    facts = fields.JSONField[dict[str, object]](default=dict)

    class Meta:
        table = "processes"


class ConfigVersion(Model):
    """A configuration that was loaded, or refused."""

    id = fields.BigIntField(primary_key=True, generated=True)
    sha256 = fields.CharField(max_length=64)
    loaded_at = fields.DatetimeField()
    mistakes = fields.JSONField[list[str]](default=list)

    class Meta:
        table = "config_versions"
