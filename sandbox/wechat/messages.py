"""What a WeChat user can send, as the platform writes it down.

Each function returns the fields of one push in the platform's own order and
spelling. Ids and times are stamped when the push is made, not here.

Source: https://developers.weixin.qq.com/doc/subscription/guide/product/message/Receiving_standard_messages.html
and the page "Receiving event pushes" beside it.
"""

from dataclasses import dataclass, field

from sandbox.wechat.wire import Field, Fields


@dataclass(frozen=True, slots=True)
class UserAction:
    """Something that a user did: sent a message, or caused an event.

    ``trigger`` names what the action lets the account say back
    (see ``replies.ALLOWANCES``); None opens nothing.
    """

    openid: str
    fields: Fields
    trigger: str | None
    summary: str = ""
    media_id: str | None = None

    @property
    def is_event(self) -> bool:
        return self.fields["MsgType"] == "event"


def _message(
    openid: str, kind: str, summary: str, media_id: str | None = None, /, **fields: Field
) -> UserAction:
    return UserAction(openid, {"MsgType": kind, **fields}, "message", summary, media_id)


def _event(openid: str, name: str, trigger: str | None, /, **fields: Field) -> UserAction:
    return UserAction(openid, {"MsgType": "event", "Event": name, **fields}, trigger, name)


def text(openid: str, content: str, *, menu_choice: str | None = None) -> UserAction:
    """A text message. *menu_choice* is the id of the tapped menu item, if it was a tap.

    A tapped item counts as a menu click: it opens 3 replies for a minute.
    """
    if menu_choice is None:
        return _message(openid, "text", content, Content=content)
    fields: dict[str, Field] = {"MsgType": "text", "Content": content, "bizmsgmenuid": menu_choice}
    return UserAction(openid, fields, "click", content)


def image(openid: str, media_id: str, picture_url: str) -> UserAction:
    return _message(openid, "image", "[image]", media_id, PicUrl=picture_url, MediaId=media_id)


def voice(
    openid: str, media_id: str, *, voice_format: str = "amr", recognition: str | None = None
) -> UserAction:
    heard: dict[str, Field] = {} if recognition is None else {"Recognition": recognition}
    return _message(
        openid,
        "voice",
        recognition or "[voice]",
        media_id,
        MediaId=media_id,
        Format=voice_format,
        **heard,
    )


def video(openid: str, media_id: str, thumb_media_id: str, *, kind: str = "video") -> UserAction:
    """A video; *kind* may be ``shortvideo``, which old clients send."""
    return _message(
        openid, kind, "[video]", media_id, MediaId=media_id, ThumbMediaId=thumb_media_id
    )


NOT_SHOWN = "【收到不支持的消息类型，暂无法显示】"
"""What the platform writes in place of a sticker and of everything else that it keeps to itself."""


def mini_program_page(openid: str, title: str, thumb_url: str, thumb_media_id: str) -> UserAction:
    """A card of a mini program, from a user of the mini program's customer service."""
    return _message(
        openid,
        "miniprogrampage",
        title,
        None,
        Title=title,
        AppId="wxsandbox00000001",
        PagePath="pages/lamp?id=7",
        ThumbUrl=thumb_url,
        ThumbMediaId=thumb_media_id,
    )


def location(
    openid: str, latitude: float, longitude: float, label: str, *, scale: int = 16
) -> UserAction:
    """A place. ``Location_X`` is the latitude: the platform's own, surprising, order."""
    return _message(
        openid,
        "location",
        label,
        None,
        Location_X=latitude,
        Location_Y=longitude,
        Scale=scale,
        Label=label,
    )


def link(openid: str, title: str, description: str, url: str) -> UserAction:
    return _message(openid, "link", title, None, Title=title, Description=description, Url=url)


def subscribe(openid: str, *, scene: str | None = None, ticket: str = "") -> UserAction:
    """The user follows the account, perhaps by scanning the code of *scene*."""
    if scene is None:
        return _event(openid, "subscribe", "subscribe", EventKey="")
    return _event(openid, "subscribe", "subscribe", EventKey=f"qrscene_{scene}", Ticket=ticket)


def unsubscribe(openid: str) -> UserAction:
    return _event(openid, "unsubscribe", None, EventKey="")


def click(openid: str, key: str) -> UserAction:
    return _event(openid, "CLICK", "click", EventKey=key)


def scan(openid: str, scene: str, ticket: str) -> UserAction:
    """A follower scans the account's code (no ``qrscene_`` before the scene)."""
    return _event(openid, "SCAN", "scan", EventKey=scene, Ticket=ticket)


def view(openid: str, url: str, menu_id: str = "") -> UserAction:
    """A menu link was opened. It opens no reply allowance."""
    return _event(openid, "VIEW", None, EventKey=url, MenuId=menu_id)


def sticker(openid: str) -> UserAction:
    """A sticker: the platform passes on only that there was something."""
    return text(openid, NOT_SHOWN)


def located(openid: str, latitude: float, longitude: float, precision: float) -> UserAction:
    """The phone reports where it is."""
    return _event(
        openid, "LOCATION", None, Latitude=latitude, Longitude=longitude, Precision=precision
    )


def answered_subscription(openid: str, template_id: str, *, accepted: bool) -> UserAction:
    """The user answers the question whether a subscribe message may come."""
    answer: Field = {
        "TemplateId": template_id,
        "SubscribeStatusString": "accept" if accepted else "reject",
        "PopupScene": 2,
    }
    return _event(
        openid, "subscribe_msg_popup_event", None, SubscribeMsgPopupEvent={"List": [answer]}
    )


def template_finished(openid: str, message_id: int, status: str) -> UserAction:
    """What became of a template message; *status* is ``success`` or ``failed:user block`` …"""
    return _event(openid, "TEMPLATESENDJOBFINISH", None, MsgID=message_id, Status=status)


def subscription_sent(openid: str, template_id: str, message_id: int) -> UserAction:
    """What became of a subscribe message."""
    report: Field = {
        "TemplateId": template_id,
        "MsgID": str(message_id),
        "ErrorCode": "0",
        "ErrorStatus": "success",
    }
    return _event(
        openid, "subscribe_msg_sent_event", None, SubscribeMsgSentEvent={"List": [report]}
    )


@dataclass(frozen=True, slots=True)
class StampedAction:
    """A user action with its id and time: byte for byte the same in every try."""

    action: UserAction
    number: int
    message_id: str
    """``MsgId`` of a message; of an event, which carries none, empty."""
    plaintext: bytes
    fields: Fields = field(repr=False)
