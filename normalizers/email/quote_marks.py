"""How mail programs announce what they quote, language by language; data for :mod:`quotes`.

Sources: the programs' own mails in the corpora named in docs/channels/email.md, and their help pages.
"""

import re

__all__ = [
    "ATTRIBUTION",
    "BANNER",
    "CLOSING",
    "DEVICE_LINE",
    "FIELD",
    "HTML_MARK",
    "HTML_QUOTES",
    "HTML_QUOTE_BEGINS",
    "LOOSE_ATTRIBUTION",
    "RULE",
    "SIGNATURE_MARK",
]

# The line above a quotation, made of at most four lines joined by spaces: how it begins and ends.
# ("On Tue, Mar 5, 2024 at 10:20 AM Anna <a@b> wrote:")
_OPENINGS_AND_ENDS: tuple[tuple[str, str], ...] = (
    (r"On\s", r"\bwrote\s?:?"),  # Gmail, Apple Mail, Thunderbird
    (r"At\s", r"\bwrote\s?:"),  # 163 and 126 in English
    (r"Le\s", r"\ba\s[ée]crit\s?:"),
    (r"(?:Am|Von)\s", r"\b(?:schrieb|geschrieben)\b.{0,120}:"),
    (r"(?:El|En)\s", r"\bescribi[óo]\s?:"),
    (r"(?:Il|In data)\s", r"\bha scritto\s?:"),
    (r"Em\s", r"\bescreveu\s?:"),
    (r"Op\s", r"\b(?:schreef|geschreven)\b.{0,120}:"),
    (r"(?:W dniu|Dnia)\s", r"\b(?:napisa[łl]\S*|pisze)\s?:"),
    (r"(?:Den|På|man|tir|ons|tor|fre|lør|søn)\b", r"\bskrev\b.{0,120}:"),
    (r"Dne\s", r"\bnapsal\S*\s?:"),
    (r"Vào\s", r"\bđã viết\s?:"),
    (r"在\s?\S", r"写道\s?[:：]"),  # 163, 126, Apple Mail
    (r"於\s?\S", r"寫道\s?[:：]"),  # Apple Mail and Gmail, Taiwan and Hong Kong
    (r"\d{4}年", r"(?:<[^<>\s]+@[^<>\s]+>\s?[:：]|写道\s?[:：]|書きました\s?[:：]?)"),
    (r"\d{4}\s?년", r"작성\s?[:：]"),
)
# Those that begin with a name or a date of any form, so that only the end tells.
_ENDS: tuple[str, ...] = (
    r"<[^<>\s]+@[^<>\s]+>\)?\s(?:wrote|schrieb|a écrit|escribió|ha scritto|escreveu|skrev)\s?:",
    r"于\s?\d{4}\s?年[^<>\n]{1,40}写道\s?[:：]",  # Gmail
    r"於\s?\d{4}\s?年[^<>\n]{1,40}寫道\s?[:：]",
    r"\bkirjoitti\s?:",
    r"\b(?:на)?писал(?:\(а\)|а|и)?\s?:",
    r"\bпише\s?:",
    r"\bírta\s?:",
    r"\bşunları yazdı\s?:",
    r"\ba scris\s?:",
    r"님이 작성\s?[:：]",
    r"\d{1,2}:\d{2}(?:\s?[AP]M)?,?\s[^<>\n]{0,80}<[^<>\s]+@[^<>\s]+>\s?:",  # mail.ru, old Gmail
)
_SPAN = r"[^\n]{3,400}?"
ATTRIBUTION = re.compile(
    r"(?:" + "|".join(f"{opening}{_SPAN}{end}" for opening, end in _OPENINGS_AND_ENDS) + r")\s*"
)
LOOSE_ATTRIBUTION = re.compile(
    r"(?:" + "|".join(rf"\S{_SPAN}{end}" for end in _ENDS) + r")\s*", re.IGNORECASE
)

# A line that says in so many words that the earlier mail begins.
_BANNERS = (
    "original message|original appointment|original|ursprüngliche (?:nachricht|mail)"
    "|originalnachricht|message d'origine|message original|message transféré|mensaje original"
    "|mensagem original|messaggio originale|oorspronkelijk bericht|original meddelelse"
    "|ursprungligt meddelande|opprinnelig melding|wiadomość oryginalna|исходное сообщение"
    "|пересылаемое сообщение|forwarded message|reply message|reply original message"
    "|weitergeleitete nachricht|原始邮件|原邮件|邮件原件|邮件原文|原始郵件|原文"
    "|回复的原邮件|回复的邮件|转发的邮件|转发邮件信息|转发邮件|元のメッセージ|원본 메시지|원본 메일"
)
BANNER = re.compile(
    rf"[>\s]*[-—–_=*]{{2,}}\s*(?:{_BANNERS})[^\n]{{0,40}}?\s*[-—–_=*]{{2,}}[\s>]*"
    r"|[>\s]*begin forwarded message\s?:\s*|[>\s]*以下是转发的邮件\s?[:：]\s*"
    r"|[#\s]*-{1,2}[^\n]{0,60}(?:reply above|上方回复|以上回复)[^\n]{0,60}",
    re.IGNORECASE,
)
RULE = re.compile(r"\s*(?:_{5,}|-{5,}|={4,}|[—–]{5,}|\*{5,})\s*")

# "From: …", "发件人：…" as clients put them above a quoted mail; two of them within three lines.
_KEYS = (
    "from|sent|date|to|cc|subject|reply-to|发件人|寄件者|寄件人|发送时间|發送時間|已发送|寄件日期|传送日期"
    "|收件人|收件者|抄送|副本|主题|主旨|标题|日期|时间|送件者|発信者|差出人|送信日時|宛先|件名|日時"
    "|보낸\\s?사람|보낸\\s?날짜|받는\\s?사람|제목|날짜|von|gesendet|datum|an|betreff|de|envoyé(?: le)?"
    "|message du|sujet|copie à"
    "|à|objet|enviado(?: el| em)?|fecha|para|asunto|assunto|da|inviato|data|a|oggetto|van|verzonden|aan"
    "|onderwerp|fra|sendt|til|emne|från|skickat|till|ämne|lähettäjä|lähetetty|vastaanottaja|aihe"
    "|od|wysłano|do|temat|odesláno|komu|předmět|от|от кого|дата|отправлено|кому|тема|gönderen|tarih|kime|konu"
)
FIELD = re.compile(
    rf"[>\s|]*\*{{0,2}}(?P<key>{_KEYS})\*{{0,2}}\s?[:：]\*{{0,2}}\s*(?P<value>.*)", re.IGNORECASE
)

SIGNATURE_MARK = re.compile(r"(?:--|—|——|__)\s?")
# What programs add by themselves: "Sent from my iPhone", "发自我的iPhone".
DEVICE_LINE = re.compile(
    r"\s*(?:"
    r"(?:sent|gesendet|envoyé|enviado|inviato|verzonden|skickat|wysłane|отправлено|sendt|lähetetty)"
    r"\s(?:from|via|by|with|using|von|depuis|de|desde|do|da|dal|vanaf|vanuit|met|från|mit|z|с|из|fra)\b"
    r"[^\n.]{1,100}(?:<[^<>\n]{1,200}>)?\.?"
    r"|get outlook for \w+[^\n]{0,200}|obtenir outlook pour[^\n]{0,100}|outlook für \w+ beziehen.*"
    r"|von meinem [^\n]{1,40} gesendet.*|diese nachricht wurde von meinem [^\n]{1,80}"
    r"|发自我的\s?[^\n]{1,40}|发自[^\n]{1,30}(?:邮箱|手机|客户端)[^\n]{0,20}|来自我的\s?[^\n]{1,40}"
    r"|从我的\s?[^\n]{1,40}发送|發自我的\s?[^\n]{1,40}|從我的\s?[^\n]{1,40}(?:傳送|發送)"
    r"|获取\s?outlook[^\n]{0,80}|取得\s?outlook[^\n]{0,80}|由\s?outlook[^\n]{0,60}发送"
    r"|签名由[^\n]{1,40}定制|发送自\s?[^\n]{1,60}|發送自\s?[^\n]{1,60}"
    r"|via (?:my )?(?:mobile|phone)|iphoneから送信|나의 iphone에서 보냄|\S+ for (?:android|ios|iphone)"
    r")\s*",
    re.IGNORECASE,
)
# What stands above a name at the end of a letter.
CLOSING = re.compile(
    r"\s*(?:(?:(?:kind|best|warm|warmest|kindest|many)\s)?(?:regards|wishes)"
    r"|(?:with|all my) (?:kind |best )?(?:regards|wishes)|rgds|cheers|best|sincerely(?: yours)?"
    r"|yours(?: (?:sincerely|truly|faithfully))?|respectfully|thanks(?: a lot| again)?"
    r"|thank you(?: very much| again)?|many thanks|thx|mit freundlichen grüßen|viele grüße"
    r"|freundliche grüße|liebe grüße|mfg|cordialement|bien à vous|saludos(?: cordiales)?"
    r"|atentamente|cordiali saluti|distinti saluti|atenciosamente|met vriendelijke groet(?:en)?"
    r"|med vänliga hälsningar|pozdrawiam|с уважением"
    r"|此致|敬礼|顺颂商祺|順頌商祺|祝好|祝商祺|此致敬礼|敬上|谨上)\s*[,，.!！。]?\s*",
    re.IGNORECASE,
)

# Where clients keep the quotation in their HTML (CSS selectors).
HTML_QUOTES = ", ".join(
    (
        "div.gmail_quote",
        "blockquote.gmail_quote",
        'blockquote[type="cite"]',  # Apple Mail, Thunderbird
        "#isReplyContent",  # 163
        "div.ntes-mailmaster-quote",  # 网易邮箱大师
        "#origbody",  # 126
        "div.foxmail_quote",
        "includetail",  # QQ: what follows the writer's own text
        "div.xm_mail_oringinal_describe",  # 腾讯企业邮箱
        "div.yahoo_quoted",
        "div.moz-cite-prefix",
        "div.protonmail_quote",
        "div.zmail_extra",
        "div.alimail-quote",
    )
)
# From here to the end of what holds it everything is quoted: Outlook, and old Hotmail.
HTML_QUOTE_BEGINS = ", ".join(
    (
        "#divRplyFwdMsg",
        "#appendonsend",
        "#mail-editor-reference-message-container",
        "#stopSpelling",
        '[id$="divRplyFwdMsg"]',
        '[id$="appendonsend"]',
    )
)
# No mark, no need to parse.
HTML_MARK = re.compile(
    r"gmail_quote|[\"']?cite[\"']?|isReplyContent|mailmaster-quote|origbody|foxmail_quote|includetail"
    r"|xm_mail_oringinal|yahoo_quoted|moz-cite|protonmail_quote|zmail_extra|alimail-quote"
    r"|divRplyFwdMsg|appendonsend|mail-editor-reference|stopSpelling",
    re.IGNORECASE,
)
